"""Evaluation attacks, one a file."""
