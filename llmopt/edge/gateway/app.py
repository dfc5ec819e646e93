"""`/v1/chat/completions` and `/v1/models` as one ASGI application in front of Django."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson
from django.conf import settings
from django.utils.translation import gettext as _

from apps.accounts.keys import KeyFacts, key_of_async, key_refusal
from apps.accounts.services.keys import api_key_use_known, api_key_use_record
from apps.billing.books import fastest_books
from apps.billing.errors import BudgetExceeded
from apps.billing.generating import (
    BAD_GATEWAY,
    STATUS_OF,
    CallableModel,
    Caller,
    callable_model,
    known_model,
    metered_call,
    names_of_callable_models,
)
from apps.billing.metering import INFRASTRUCTURE, MeteredCall, MeteredResult, Metering, StreamEvent
from apps.core import rates
from apps.core.db import in_database, in_database_once, is_database_away
from apps.core.errors import ApplicationError
from apps.core.shared_store import AsyncStore
from llmopt.edge.asgi_types import Receive, Scope, Send, header_of, headers_of, respond
from llmopt.edge.gateway.errors import Refusal
from llmopt.edge.gateway.reading import Wanted, read_request
from llmopt.edge.gateway.writing import (
    Head,
    completion,
    error_chunk,
    first_chunk,
    last_chunks,
    piece_chunk,
)

log = logging.getLogger(__name__)

PREFIX = "/v1/"
COMPLETIONS = "/v1/chat/completions"
MODELS = "/v1/models"
SCOPE = "generate"
BODY_BYTES = 16 * 1024 * 1024
# An event stream must not be kept back or changed by what lies between.
_STREAM_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store, no-transform"),
    (b"x-accel-buffering", b"no"),
    (b"x-content-type-options", b"nosniff"),
]


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request that may be carried out."""

    call: MeteredCall
    head: Head
    wanted: Wanted


class Gateway:
    """Opens its connections with the first call, in the event loop that it came in."""

    def __init__(self, make_metering: Callable[[], Metering] | None = None) -> None:
        self._make_metering = make_metering or _metering
        self._metering: Metering | None = None
        self._counts = AsyncStore()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._answer(scope, receive, send)
        except Refusal as refusal:
            await _json(send, refusal.status, orjson.dumps(refusal.body), refusal.headers)
        except Exception as error:
            if not is_database_away(error):
                raise
            log.warning("the database is away", exc_info=error)
            away = _database_away()
            await _json(send, away.status, orjson.dumps(away.body), away.headers)

    async def aclose(self) -> None:
        """Book what is under way and close connections."""
        if self._metering is not None:
            metering, self._metering = self._metering, None
            await metering.__aexit__(None, None, None)
        await self._counts.aclose()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        path, method = scope["path"], scope["method"]
        key = await _key(scope, self._counts)
        if path == COMPLETIONS:
            _only(method, "POST")
            await self._complete(key, scope, receive, send)
        elif path == MODELS or path.startswith(f"{MODELS}/"):
            _only(method, "GET")
            await _json(send, 200, await _models(key, path.removeprefix(MODELS).removeprefix("/")))
        else:
            raise Refusal(404, "not_found", _("There is nothing at %(path)s.") % {"path": path[:200]})

    async def _complete(self, key: KeyFacts, scope: Scope, receive: Receive, send: Send) -> None:
        wanted = read_request(await _body(receive), default_max_tokens=settings.GATEWAY_MAX_TOKENS)
        asked = await _asked(key, scope, wanted)
        if self._metering is None:
            self._metering = self._make_metering()
        if wanted.stream:
            await self._stream(self._metering, asked, receive, send)
            return
        result = await _refusing(self._metering.generate(asked.call))
        if result.error:
            raise _failure(result)
        await _json(send, 200, completion(asked.head, result), _facts(result))

    async def _stream(self, metering: Metering, asked: _Asked, receive: Receive, send: Send) -> None:
        """The head is sent with the first piece: until then an error still has a status of its own."""
        gone = asyncio.create_task(_disconnected(receive))
        began = False
        try:
            async with aclosing(metering.stream(asked.call)) as pieces:
                while True:
                    piece = await _next_unless(pieces, gone)
                    if piece is None:
                        return
                    if isinstance(piece, MeteredResult) and piece.error and not began:
                        raise _failure(piece)
                    body = b"" if began else first_chunk(asked.head)
                    if not began:
                        await send({"type": "http.response.start", "status": 200, "headers": _STREAM_HEADERS})
                        began = True
                    if isinstance(piece, MeteredResult):
                        end = _end(asked, piece)
                        await send({"type": "http.response.body", "body": body + end, "more_body": False})
                        return
                    body += piece_chunk(asked.head, piece)
                    if body:
                        await send({"type": "http.response.body", "body": body, "more_body": True})
        except ApplicationError as error:
            raise _refusal_of(error) from error
        except Exception as error:
            if not began or not is_database_away(error):
                raise
            log.warning("the database is away", exc_info=error)
            body = error_chunk(_database_away().body)
            await send({"type": "http.response.body", "body": body, "more_body": False})
        finally:
            gone.cancel()


def _database_away() -> Refusal:
    """What was sent is booked when the database is back: by its answer, or at the most that it can have cost."""
    message = _("The database of this LLMOpt cannot be reached just now. Try again in a moment.")
    return Refusal(503, "database_unavailable", message, retry_after=2)


def _metering() -> Metering:
    seconds = float(settings.GATEWAY_SECONDS)
    return Metering(
        call_timeout_seconds=seconds, deadline_seconds=seconds, books=fastest_books(), openai_api="chat_first"
    )


async def _key(scope: Scope, counts: AsyncStore) -> KeyFacts:
    """The valid key that came with the request. It is taken from the header alone: addresses are logged."""
    given = headers_of(scope, b"authorization")
    kind, _space, text = (given[0] if len(given) == 1 else "").partition(" ")
    if kind.lower() != "bearer" or not text.strip():
        raise Refusal(401, "missing_api_key", _("Send an API key of LLMOpt as Authorization: Bearer …"))
    address = scope["client"][0] if scope.get("client") else ""
    key = await key_of_async(text.strip())
    if key is None:
        await _count_wrong_key(counts, address)
        refused = await in_database(key_refusal, text.strip())
        raise Refusal(401, "invalid_api_key", refused.message)
    if not key.opens(SCOPE):
        raise Refusal(403, "scope_missing", _("This API key may not generate: it, or its person's role, lacks that."))
    name = f"api:key:{key.uid}"
    wait = await rates.admit_async(counts, name, limit=settings.API_REQUESTS_PER_MINUTE)
    if wait:
        said = {"limit": settings.API_REQUESTS_PER_MINUTE, "wait": wait}
        message = _("This API key may make %(limit)s requests a minute. Try again in %(wait)s s.") % said
        raise Refusal(429, "rate_limit_exceeded", message, retry_after=wait)
    if not api_key_use_known(facts=key, address=address):
        await in_database(partial(api_key_use_record, actor=None, facts=key, address=address))
    return key


async def _count_wrong_key(counts: AsyncStore, address: str) -> None:
    """Refuse an address that sends wrong keys too often: it learns nothing more of them."""
    name = f"bearer:{rates.network_of(address)}"
    wait = await rates.admit_async(counts, name, limit=settings.SIGN_IN_TRIES_PER_MINUTE)
    if wait:
        message = _("Too many wrong keys came from this address. Try again in %(wait)s s.") % {"wait": wait}
        raise Refusal(429, "rate_limit_exceeded", message, retry_after=wait)


async def _asked(key: KeyFacts, scope: Scope, wanted: Wanted) -> _Asked:
    try:
        model = await _model_called(key.team_id, wanted.request.model)
    except ApplicationError as error:
        raise _refusal_of(error, param="model") from error
    caller = Caller(key.team_id, key.person_id, key.id)
    call = metered_call(
        caller, model, wanted.request, purpose="gateway", use_cache=_use_cache(scope, wanted), repeat=_repeat(scope)
    )
    return _Asked(call, Head(call.generation_uid, int(time.time()), model.name), wanted)


async def _model_called(team_id: int, name: str) -> CallableModel:
    known = known_model(team_id, name)
    if known is not None:
        return known
    return await in_database_once(("model", team_id, name), callable_model, team_id, name)


def _use_cache(scope: Scope, wanted: Wanted) -> bool:
    """An answer that is drawn anew each time is not given twice, unless the caller wants that."""
    said = (header_of(scope, b"llmopt-cache") or "").lower()
    if said not in ("", "on", "off"):
        raise Refusal(400, "invalid_header", _("The header LLMOpt-Cache is on or off."), param="LLMOpt-Cache")
    return said == "on" if said else wanted.request.temperature == 0


def _repeat(scope: Scope) -> int:
    said = header_of(scope, b"llmopt-repeat") or "0"
    if not (said.isascii() and said.isdecimal() and len(said) < 7):
        raise Refusal(400, "invalid_header", _("The header LLMOpt-Repeat is a whole number."), param="LLMOpt-Repeat")
    return int(said)


async def _models(key: KeyFacts, name: str) -> bytes:
    models = [_model(*each) for each in await in_database(names_of_callable_models, key.team_id)]
    if not name:
        return orjson.dumps({"object": "list", "data": models})
    found = next((model for model in models if model["id"] == name), None)
    if found is None:
        message = _("There is no model %(name)s in this team that answers.") % {"name": name[:160]}
        raise Refusal(404, "model_not_found", message, param="model")
    return orjson.dumps(found)


def _model(name: str, model: Any) -> dict[str, Any]:
    """`root` is the name of the model itself, which differs from `id` for an alias."""
    return {
        "id": name,
        "root": model.served_name,
        "object": "model",
        "created": int(model.created_at.timestamp()),
        "owned_by": model.provider or "llmopt",
        "name": model.name,
        "kind": model.kind,
        "context_length": model.context_length or None,
    }


async def _body(receive: Receive) -> bytes:
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refusal(499, "client_closed_request", "The client left before its request was read.")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > BODY_BYTES:
            limit = BODY_BYTES // (1024 * 1024)
            raise Refusal(413, "request_too_large", _("A request may be at most %(mib)s MiB.") % {"mib": limit})
        if not message.get("more_body", False):
            return b"".join(parts)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _next_unless(
    pieces: AsyncGenerator[StreamEvent | MeteredResult, None], gone: "asyncio.Task[None]"
) -> StreamEvent | MeteredResult | None:
    """The next piece; None when the stream is over or the client has left."""
    coming = asyncio.ensure_future(anext(pieces, None))
    await asyncio.wait({coming, gone}, return_when=asyncio.FIRST_COMPLETED)
    if coming.done():
        return coming.result()
    coming.cancel()
    await asyncio.wait({coming})
    return None


async def _refusing(work: Any) -> MeteredResult:
    try:
        result: MeteredResult = await work
    except ApplicationError as error:
        raise _refusal_of(error) from error
    return result


def _refusal_of(error: ApplicationError, *, param: str | None = None) -> Refusal:
    code = "insufficient_quota" if isinstance(error, BudgetExceeded) else error.code
    return Refusal(error.status, code, str(error), param=param)


def _failure(result: MeteredResult) -> Refusal:
    """Why there is no answer. The provider's own sentence says it best."""
    code = result.error if result.error != INFRASTRUCTURE else result.error_code
    status = STATUS_OF.get(code, BAD_GATEWAY)
    shown = "context_length_exceeded" if code == "context_too_long" else code
    return Refusal(status, shown, result.error_text.partition(": ")[2] or result.error_text)


def _end(asked: _Asked, result: MeteredResult) -> bytes:
    if result.error:
        return error_chunk(_failure(result).body)
    return last_chunks(asked.head, result, include_usage=asked.wanted.include_usage)


def _facts(result: MeteredResult) -> list[tuple[bytes, bytes]]:
    return [
        (b"llmopt-generation", result.generation_uid.encode()),
        (b"llmopt-cost-nanousd", str(result.cost_nanousd).encode()),
        (b"llmopt-cached", b"true" if result.cached else b"false"),
    ]


def _only(method: str, allowed: str) -> None:
    if method != allowed:
        message = _("This address takes %(method)s.") % {"method": allowed}
        raise Refusal(405, "method_not_allowed", message, allow=allowed)


async def _json(send: Send, status: int, body: bytes, headers: list[tuple[bytes, bytes]] | None = None) -> None:
    more = [(b"cache-control", b"no-store"), *(headers or [])]
    await respond(send, status, body, content_type="application/json", headers=more)
