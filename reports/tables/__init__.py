"""The paper's tables, one a file."""
