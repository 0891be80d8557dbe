"""Stored numbers: the paper's, the small golden grid, what we measured."""
