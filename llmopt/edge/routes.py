"""Which part of the stack answers a path, and what its requests are counted as."""

import re

EVENTS = re.compile(r"^/t/(?P<team>[-a-zA-Z0-9_]{1,80})/events/$")
STATIC_PREFIX = "/static/"
# After these a path goes on with a secret that signs somebody in.
_SECRET_AFTER = ("/sign-in/", "/rate/")

_PREFIXES = (
    (STATIC_PREFIX, "static"),
    ("/api/", "api"),
    ("/v1/", "v1"),
    ("/admin/", "admin"),
)
_EXACT = {"/healthz": "health", "/readyz": "health", "/metrics": "metrics"}


def route_class(path: str) -> str:
    """A label with few values: a path would make one time series for each object."""
    if path in _EXACT:
        return _EXACT[path]
    for prefix, name in _PREFIXES:
        if path.startswith(prefix):
            return name
    return "events" if EVENTS.match(path) else "page"


def path_for_log(path: str) -> str:
    """The path without what must not be in a log: one-time tokens. The query is left out altogether."""
    for prefix in _SECRET_AFTER:
        if path.startswith(prefix) and len(path) > len(prefix):
            return f"{prefix}…"
    return path[:500]
