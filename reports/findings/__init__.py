"""`docs/findings.md`: what the measured numbers say, every number taken from the store.

`setting` says which cells may stand in one table, `gap` compares two of them, `questions` says which two. A question is
a function from a setting to typed rows, a `claim` the verdict on some of them, and `templates/findings.md.j2` holds
every sentence of the page.
"""

from bench.reports.findings.page import DRAWINGS, QUESTIONS, Page, findings

__all__ = ["DRAWINGS", "QUESTIONS", "Page", "findings"]
