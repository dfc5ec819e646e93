"""One small ASGI stack in front of Django: what must be cheap, bounded or long-lived is answered here."""
