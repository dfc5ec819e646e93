"""Changes that need every app."""
