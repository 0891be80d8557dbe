"""Cells somewhere else: a store small enough to commit, and archives that travel."""
