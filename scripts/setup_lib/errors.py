"""The one failure that the set-up expects: a sentence for the person, and what to do."""


class SetupError(Exception):
    """Something that the person at the terminal can mend. The text says what is wrong and what to do."""
