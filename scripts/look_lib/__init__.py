"""The parts of scripts/look.py: reading templates, serving sample data, checking a page, drawing the contact sheet."""
