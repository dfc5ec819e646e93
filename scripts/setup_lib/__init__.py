"""The parts of scripts/setup.py. Standard library only: they run before anything is installed."""
