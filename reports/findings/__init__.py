"""`docs/findings.md`: what the measured numbers say, every number taken from the store.

A file asks one question; `page` puts the answers together, `block` says which cells may stand in one table.
"""

from bench.reports.findings.page import QUESTIONS, findings

__all__ = ["QUESTIONS", "findings"]
