"""What is taken out of a store for another place: a terminal, a notebook, a spreadsheet, a manuscript."""
