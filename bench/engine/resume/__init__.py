"""What an interrupted or a related training goes on from: checkpoints and shared prefixes."""
