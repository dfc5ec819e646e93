"""Statistics, one method per file. Each returns the estimate, n, the interval, the method and its reference."""
