"""What a command line asks for: options that verbs share, and what they name."""
