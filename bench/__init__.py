"""A benchmark harness for adversarial training on long-tailed data."""
