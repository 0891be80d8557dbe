"""Enhancers: tricks and wrappers that any method may be trained with, one a file."""
