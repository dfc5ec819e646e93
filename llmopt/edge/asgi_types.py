"""ASGI's shapes, and the few helpers that every part of the stack needs."""

import json
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

# On everything that the edge answers itself; Django's middleware sets its own on pages.
SECURITY_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


def headers_of(scope: Scope, name: bytes) -> list[str]:
    """Every value of a request header; `name` in lower case."""
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


def header_of(scope: Scope, name: bytes) -> str | None:
    values = headers_of(scope, name)
    return values[0] if values else None


async def respond(
    send: Send,
    status: int,
    body: bytes = b"",
    *,
    content_type: str = "text/plain; charset=utf-8",
    headers: Iterable[tuple[bytes, bytes]] = (),
) -> None:
    """A whole response with the security headers of the edge."""
    start = [
        (b"content-type", content_type.encode()),
        (b"content-length", str(len(body)).encode()),
        *SECURITY_HEADERS,
        *headers,
    ]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": body})


async def respond_json(send: Send, status: int, content: Any, *, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
    body = json.dumps(content).encode()
    await respond(
        send, status, body, content_type="application/json", headers=[(b"cache-control", b"no-store"), *headers]
    )


async def refuse(
    send: Send, status: int, sentence: str, *, close: bool = False, headers: Iterable[tuple[bytes, bytes]] = ()
) -> None:
    """Say no in one sentence. `close` ends the connection: the rest of the request is not read."""
    more = [(b"connection", b"close")] if close else []
    await respond(send, status, f"{sentence}\n".encode(), headers=[(b"cache-control", b"no-store"), *more, *headers])
