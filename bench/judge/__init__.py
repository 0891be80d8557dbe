"""What numbers mean: metrics, statistics, validity, regression check."""
