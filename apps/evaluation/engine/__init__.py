"""Metrics, statistics and conclusions: pure functions of outputs and reference answers."""
