"""The operating-system processes of one installation: how they start, belong together, stop and are found again."""
