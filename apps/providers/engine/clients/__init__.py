"""Ways of calling a model, one attempt per call. Only the metering module may import from here."""
