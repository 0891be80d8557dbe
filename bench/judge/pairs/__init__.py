"""Two networks on the same images: which evaluations belong together, and what of them is more than one mean."""
