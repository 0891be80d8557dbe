"""`docs/findings.md`: what the measured numbers say, every number taken from the store.

`block` says which cells may stand in one table, `gap` compares two of them; each question is a function from a block to
typed rows, and `templates/findings.md.j2` holds every sentence of the page.
"""

from bench.reports.findings.page import QUESTIONS, findings

__all__ = ["QUESTIONS", "findings"]
