"""What goes in: the long-tailed subset, its test splits, augmentation."""
