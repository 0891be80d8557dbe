"""How figures are drawn: their look and bytes (`draw`), what a figure declares (`plot`), what it reads (`inputs`)."""
