"""Addresses in settings, checked when the process starts."""

from django.core.exceptions import ImproperlyConfigured

_SCHEMES = {"redis": "redis", "rediss": "rediss", "unix": "unix", "valkey": "redis", "valkeys": "rediss"}


def redis_url(given: str) -> str:
    """REDIS_URL as the client understands it; empty for none. ImproperlyConfigured for another kind of address."""
    if not given:
        return ""
    scheme, separator, rest = given.partition("://")
    if not separator or scheme.lower() not in _SCHEMES:
        known = ", ".join(f"{name}://" for name in _SCHEMES)
        raise ImproperlyConfigured(f"REDIS_URL begins with one of {known}.")
    return f"{_SCHEMES[scheme.lower()]}://{rest}"
