"""Host, sizes and times that a request must keep to before anything reads it."""

import asyncio
import os
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from django.conf import settings
from django.http.request import split_domain_port, validate_host

from llmopt.edge.asgi_types import Application, Message, Receive, Scope, Send, header_of, headers_of, refuse

# Probes of an orchestrator come by address; what they learn is one word.
_ANY_HOST = frozenset({"/healthz", "/readyz"})
_MIB = 1024 * 1024
# The one page that takes more than others: a model that somebody sends.
_MODEL_PAGE = re.compile(r"/t/([-a-zA-Z0-9_]+)/models/add/")
# What the fields around a file may take.
_FORM_BYTES = 64 * 1024


@dataclass(frozen=True)
class Limits:
    body_bytes: int = 64 * _MIB
    header_bytes: int = 32 * 1024
    header_count: int = 100
    path_bytes: int = 8 * 1024
    # The longest wait for the next part of a body, and how fast all of it must come after a grace: a quarter of a
    # megabit a second, which every line does over which a person sends files.
    body_gap_seconds: float = 30.0
    body_grace_seconds: float = 30.0
    body_bytes_per_second: int = 32 * 1024
    # Of a model that a member of the team sends.
    model_bytes: int = 0


# (cookies, slug of a team) → whether that person sees that team
Membership = Callable[[str, str], Awaitable[bool]]


def limits_from_environment() -> Limits:
    return Limits(
        body_bytes=int(os.environ.get("LLMOPT_MAX_BODY_MIB", "64")) * _MIB,
        model_bytes=settings.MODEL_UPLOAD_MAX_BYTES + _FORM_BYTES,
    )


async def is_member(cookies: str, team_slug: str) -> bool:
    """Asked in the database before a large body is read: a stranger must not fill the disk."""
    from llmopt.edge.events_store import listener_of

    return (await asyncio.to_thread(listener_of, cookies, team_slug)).team_id is not None


async def limits_of(scope: Scope, limits: Limits, member: Membership) -> Limits:
    """Those of this very request: more for a model that a member of the team sends, the same for all else."""
    page = _MODEL_PAGE.fullmatch(scope["path"])
    length = header_of(scope, b"content-length") or ""
    larger = scope["method"] == "POST" and length.isdigit() and int(length) > limits.body_bytes
    if page is None or not larger or not host_allowed(scope):
        return limits
    cookies = "; ".join(headers_of(scope, b"cookie"))
    if not await member(cookies, page.group(1)):
        return limits
    return replace(limits, body_bytes=max(limits.body_bytes, limits.model_bytes))


class BodyTooLarge(Exception):
    """More bytes came than a request may have."""


class BodyTooSlow(Exception):
    """The body stopped coming, or comes so slowly that somebody only means to hold a place."""


def limited(app: Application, ordinary: Limits, member: Membership = is_member) -> Application:
    """Refuse a request that breaks a limit; count and time the body of the others while it is read."""

    async def limiting(scope: Scope, receive: Receive, send: Send) -> None:
        limits = await limits_of(scope, ordinary, member)
        refusal = refusal_of(scope, limits)
        if refusal is not None:
            await refuse(send, *refusal, close=True)
            return
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await app(scope, counted_receive(receive, limits), watched)
        except BodyTooLarge:
            if not started:
                await refuse(send, 413, _too_large(limits), close=True)
        except BodyTooSlow:
            if not started:
                await refuse(send, 408, "The rest of the request did not arrive in time.", close=True)

    return limiting


def refusal_of(scope: Scope, limits: Limits) -> tuple[int, str] | None:
    """Status and sentence of the first limit that the request's head breaks."""
    if scope["path"] not in _ANY_HOST and not host_allowed(scope):
        return 400, "This address is not one that this server answers for. Its names are in LLMOPT_ALLOWED_HOSTS."
    if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > limits.path_bytes:
        return 414, "The address is too long."
    headers = scope["headers"]
    if len(headers) > limits.header_count or sum(len(k) + len(v) for k, v in headers) > limits.header_bytes:
        return 431, "The request has too many or too long headers."
    length = header_of(scope, b"content-length")
    if length is not None and not length.isdigit():
        return 400, "Content-Length is not a number."
    if length is not None and int(length) > limits.body_bytes:
        return 413, _too_large(limits)
    return None


def host_allowed(scope: Scope) -> bool:
    """One Host header whose name ALLOWED_HOSTS has, by Django's own rules."""
    hosts = headers_of(scope, b"host")
    if len(hosts) != 1:
        return False
    domain, _port = split_domain_port(hosts[0])
    return bool(domain) and validate_host(domain, settings.ALLOWED_HOSTS)


def counted_receive(receive: Receive, limits: Limits) -> Receive:
    """Raises BodyTooLarge and BodyTooSlow while a body is read; afterwards it waits for the client as before.

    Only the time that the client lets this server wait is counted, not what happens here between two parts.
    """
    total, waited, complete = 0, 0.0, False
    clock = asyncio.get_running_loop().time

    async def counting() -> Message:
        nonlocal total, waited, complete
        if complete:
            return await receive()
        allowed = limits.body_grace_seconds + total / limits.body_bytes_per_second - waited
        started = clock()
        try:
            # Not `wait_for`, which makes a task of each part.
            async with asyncio.timeout(min(limits.body_gap_seconds, max(0.0, allowed))):
                message = await receive()
        except TimeoutError:
            raise BodyTooSlow from None
        waited += clock() - started
        total += len(message.get("body", b""))
        complete = not message.get("more_body", False)
        if total > limits.body_bytes:
            raise BodyTooLarge
        return message

    return counting


def _too_large(limits: Limits) -> str:
    return f"A request may be at most {limits.body_bytes // _MIB} MiB."
