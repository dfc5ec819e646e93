"""Models and prompts beside each other on one input: what the form holds, what it means, and how it is asked."""
