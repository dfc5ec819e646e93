"""The shape of what people enter on pages that need every app."""
