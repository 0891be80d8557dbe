"""Gradients of the training attack: the plain loop, the fast one, recorded ones."""
