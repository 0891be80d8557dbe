"""Published defences and plain training, one a file."""
