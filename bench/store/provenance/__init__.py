"""What cells were made from: marks of code and of data, and which cells are stale by them."""
