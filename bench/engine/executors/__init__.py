"""How cells are placed on processes and machines; nothing about what a cell does."""
