"""The network of a cell: built, loaded, its batch norms folded."""
