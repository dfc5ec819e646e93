"""Counts and latencies of requests for Prometheus, and who may read them."""

import asyncio
import hmac
import ipaddress
import os

from prometheus_client import CONTENT_TYPE_LATEST, Counter, Gauge, Histogram, generate_latest

from llmopt.edge.asgi_types import Receive, Scope, Send, header_of, refuse, respond

TOKEN_VARIABLE = "LLMOPT_METRICS_TOKEN"  # noqa: S105  # the variable's name

REQUESTS = Counter("llmopt_http_requests", "Requests answered.", ["route", "method", "status"])
SECONDS = Histogram(
    "llmopt_http_request_seconds",
    "Seconds until the last byte of a response; event streams are not in it.",
    ["route"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
STREAMS = Gauge("llmopt_event_streams", "Open streams of live events.")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def observe(*, route: str, method: str, status: int, seconds: float) -> None:
    # A client chooses its method's name; it may not choose how many time series there are.
    REQUESTS.labels(route, method if method in _METHODS else "other", str(status)).inc()
    if route != "events":
        SECONDS.labels(route).observe(seconds)


async def metrics_endpoint(scope: Scope, receive: Receive, send: Send) -> None:
    if not may_read(scope):
        await refuse(send, 403, f"Metrics are for this machine, or for a bearer token equal to {TOKEN_VARIABLE}.")
        return
    # Imported here, when Django has been set up: the stack around it is put together before.
    from llmopt.edge.ledger_metrics import ledger_metrics

    body = await asyncio.to_thread(generate_latest) + await ledger_metrics()
    await respond(send, 200, body, content_type=CONTENT_TYPE_LATEST, headers=[(b"cache-control", b"no-store")])


def may_read(scope: Scope) -> bool:
    """With the token from anywhere; without one only from this machine, and not through a proxy that runs on it."""
    token = os.environ.get(TOKEN_VARIABLE, "")
    given = (header_of(scope, b"authorization") or "").removeprefix("Bearer ")
    if token and given:
        return hmac.compare_digest(token.encode(), given.encode())
    forwarded = any(header_of(scope, name) for name in (b"x-forwarded-for", b"forwarded", b"x-real-ip"))
    return not token and not forwarded and _is_loopback(scope)


def _is_loopback(scope: Scope) -> bool:
    client = scope.get("client")
    try:
        return client is not None and ipaddress.ip_address(client[0]).is_loopback
    except ValueError:
        return False
