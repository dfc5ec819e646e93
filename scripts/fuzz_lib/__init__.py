"""The parts of scripts/fuzz_api.py: what schemathesis is told."""
