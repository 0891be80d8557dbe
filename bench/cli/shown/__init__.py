"""What a verb prints: numbers, progress, plans, comparisons and verdicts as text."""
