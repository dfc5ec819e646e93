"""The HTTP side: OpenAI's chat completions and model list, and two health pages."""

from __future__ import annotations

import asyncio
import hmac
import logging
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from apps.providers.engine.inference import memory, wire
from apps.providers.engine.inference.catalogue import Catalogue, ModelFolder
from apps.providers.engine.inference.errors import ApiError
from apps.providers.engine.inference.rendering import Renderer
from apps.providers.engine.inference.residency import Residency
from apps.providers.engine.inference.scheduler import Scheduler
from apps.providers.engine.inference.sequence import Sequence
from apps.providers.engine.inference.settings import InferenceSettings

#: nginx's status for a client that left; nobody reads it, it only ends the handler.
CLIENT_CLOSED_REQUEST = 499

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Service:
    """What the handlers share."""

    settings: InferenceSettings
    catalogue: Catalogue
    residency: Residency
    scheduler: Scheduler
    renderer: Renderer


def create_app(service: Service) -> Starlette:
    """The ASGI application; its lifespan runs the scheduler."""

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        task = asyncio.create_task(service.scheduler.run())
        task.add_done_callback(lambda task: _leave_without_scheduler(service, task))
        yield
        service.scheduler.drain()
        task.cancel()
        await service.scheduler.close()

    routes = [
        Route("/healthz", _health, methods=["GET"]),
        Route("/readyz", _bound(service, _ready), methods=["GET"]),
        Route("/v1/models", _bound(service, _guarded(_models)), methods=["GET"]),
        Route("/v1/chat/completions", _bound(service, _guarded(_chat)), methods=["POST"]),
    ]
    return Starlette(
        routes=routes,
        lifespan=lifespan,
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=list(service.settings.allowed_hosts))],
        exception_handlers={ApiError: _api_error, HTTPException: _http_error, Exception: _unexpected},
    )


def _leave_without_scheduler(service: Service, task: asyncio.Task[None]) -> None:
    """A process whose scheduler has failed would let every call wait in vain: it ends, and is started again."""
    if task.cancelled():
        return
    logger.critical("the scheduler ended", exc_info=task.exception())
    service.scheduler.drain()
    signal.raise_signal(signal.SIGTERM)


Handler = Callable[[Service, Request], Awaitable[Response]]


def _bound(service: Service, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    async def bound(request: Request) -> Response:
        return await handler(service, request)

    return bound


def _guarded(handler: Handler) -> Handler:
    """Ask for the bearer token, where the process was started with one."""

    async def guarded(service: Service, request: Request) -> Response:
        token = service.settings.token
        if token is not None:
            given = request.headers.get("authorization", "").encode()
            if not hmac.compare_digest(given, f"Bearer {token}".encode()):
                raise ApiError(401, "invalid_api_key", "The bearer token is missing or wrong.")
        return await handler(service, request)

    return guarded


async def _health(_request: Request) -> Response:
    return _json({"status": "ok"})


async def _ready(service: Service, _request: Request) -> Response:
    scheduler = service.scheduler
    body = {
        "status": "draining" if scheduler.draining else "ready",
        "models": {"available": [model.id for model in service.catalogue.all()], "loaded": scheduler.loaded()},
        "queue": {
            "waiting": scheduler.waiting_count,
            "running": scheduler.running_count,
            "limit": scheduler.limits.max_waiting,
        },
        "batch": {"max_sequences": scheduler.limits.max_batch, "threads": service.settings.threads},
        "memory_mib": memory.pss_mib(),
    }
    return _json(body, status=503 if scheduler.draining else 200)


async def _models(service: Service, _request: Request) -> Response:
    loaded = set(service.scheduler.loaded())
    return _json({"object": "list", "data": [_model_body(model, loaded) for model in service.catalogue.all()]})


def _model_body(model: ModelFolder, loaded: set[str]) -> dict[str, object]:
    return {
        "id": model.id,
        "object": "model",
        "created": model.created,
        "owned_by": "local",
        "backend": model.backend,
        "context_length": model.context_length,
        "loaded": model.id in loaded,
    }


async def _chat(service: Service, request: Request) -> Response:
    service.scheduler.refuse_if_full()
    chat = wire.read_chat_request(
        await _read_json(request, service.settings.max_body_bytes),
        max_tokens_limit=service.settings.max_tokens_limit,
    )
    model = service.catalogue.find(chat.model)
    changed = asyncio.Event()
    # Beside the loop: a chat template may use up all the time that it is given.
    sequence = await asyncio.to_thread(service.renderer.sequence, model, chat, wake=_waker(changed))
    service.scheduler.submit(sequence)
    if chat.stream:
        events = _stream(service, sequence, changed, include_usage=chat.include_usage)
        return StreamingResponse(events, media_type="text/event-stream", headers={"Cache-Control": "no-store"})
    return await _whole(service, request, sequence, changed)


def _waker(changed: asyncio.Event) -> Callable[[], None]:
    """A function that sets the event from any thread."""
    loop = asyncio.get_running_loop()

    def wake() -> None:
        loop.call_soon_threadsafe(changed.set)

    return wake


async def _whole(service: Service, request: Request, sequence: Sequence, changed: asyncio.Event) -> Response:
    gone = asyncio.ensure_future(_disconnected(request))
    finished = asyncio.ensure_future(changed.wait())
    try:
        await asyncio.wait({gone, finished}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        gone.cancel()
        finished.cancel()
        if not sequence.done:
            service.scheduler.cancel(sequence)
    if sequence.error is not None:
        raise sequence.error
    if sequence.cancelled:
        return Response(status_code=CLIENT_CLOSED_REQUEST)
    return _json(wire.completion_body(sequence, created=wire.now_seconds()))


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _stream(
    service: Service, sequence: Sequence, changed: asyncio.Event, *, include_usage: bool
) -> AsyncIterator[bytes]:
    created = wire.now_seconds()
    try:
        yield _event(wire.chunk_body(sequence, created=created, text=None))
        while not sequence.done:
            await changed.wait()
            changed.clear()
            delta = sequence.take_delta()
            if delta:
                yield _event(wire.chunk_body(sequence, created=created, text=delta))
        if sequence.error is not None:
            yield _event(sequence.error.body())
            return
        rest = sequence.take_delta()
        if rest:
            yield _event(wire.chunk_body(sequence, created=created, text=rest))
        yield _event(wire.chunk_body(sequence, created=created, text="", finished=True))
        if include_usage:
            yield _event(wire.usage_chunk_body(sequence, created=created))
        yield b"data: [DONE]\n\n"
    finally:
        if not sequence.done:
            service.scheduler.cancel(sequence)


def _event(body: dict[str, object]) -> bytes:
    return b"data: " + orjson.dumps(body) + b"\n\n"


async def _read_json(request: Request, limit: int) -> object:
    """The decoded body. A page of another origin cannot send this content type without asking first."""
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
        raise ApiError(415, "unsupported_media_type", "Send the body as application/json.")
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise ApiError(413, "body_too_large", f"The body may have at most {limit} bytes.")
        chunks.append(chunk)
    try:
        return orjson.loads(b"".join(chunks))
    except orjson.JSONDecodeError as error:
        raise ApiError(400, "invalid_json", f"The body is not valid JSON: {error}.") from error


def _json(body: object, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(body), status_code=status, media_type="application/json", headers=headers)


async def _api_error(_request: Request, error: Exception) -> Response:
    if not isinstance(error, ApiError):
        raise error
    return _json(error.body(), status=error.status, headers=error.headers())


async def _http_error(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    code = {404: "not_found", 405: "method_not_allowed"}.get(status, "http_error")
    return await _api_error(request, ApiError(status, code, f"{request.method} {request.url.path} is not served here."))


async def _unexpected(request: Request, error: Exception) -> Response:
    if isinstance(error, ClientDisconnect):
        return Response(status_code=CLIENT_CLOSED_REQUEST)
    return await _api_error(request, ApiError(500, "internal_error", "The inference process failed; see its log."))
