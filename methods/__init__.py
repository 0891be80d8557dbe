"""HARL, TAET, and yours: one a file."""
