"""Named grids, as data."""
