"""Audited evaluations: a chain of attacks on a sample that was fixed before anybody looked, with a proof."""
