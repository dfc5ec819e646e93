"""An implementation of the report's figures that shares no code with the product: used by scripts/recompute.py."""
