"""The life of a cell besides its stages: what is recorded, failures, foreign networks."""
