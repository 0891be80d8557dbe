"""What is kept: columns and versions, atomic run folders, and the way back to a data frame."""
