"""What the product costs beside a peer or a floor, measured in the same run (docs/benchmarks.md)."""
