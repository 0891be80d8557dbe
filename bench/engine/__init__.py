"""How numbers are made: grid, cell, training loop, attack suite, executors."""
