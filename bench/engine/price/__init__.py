"""What a grid costs before it runs: passes times measured rates."""
