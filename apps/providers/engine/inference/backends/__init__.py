"""The libraries that can run a model, behind one small protocol."""
