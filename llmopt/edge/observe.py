"""Request id, access log and metrics: wraps everything else, so that every request is seen once."""

import logging
import re
import time
import uuid

from llmopt.edge import metrics
from llmopt.edge.asgi_types import Application, Message, Receive, Scope, Send, headers_of, refuse
from llmopt.edge.routes import path_for_log, route_class

access = logging.getLogger("llmopt.access")
log = logging.getLogger(__name__)

# A caller's own id is kept if it cannot disturb a log line or a header.
_SANE_ID = re.compile(r"^[A-Za-z0-9._-]{8,64}$")
_ID = b"x-request-id"


def observed(app: Application) -> Application:
    """Give each request an id, answer 500 where the stack below fails, and write one access line."""

    async def observing(scope: Scope, receive: Receive, send: Send) -> None:
        request_id = take_request_id(scope)
        began, record = time.perf_counter(), {"status": 0, "bytes": 0}

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                record["status"] = message["status"]
                headers = [pair for pair in message.get("headers", []) if pair[0].lower() != _ID]
                message["headers"] = [*headers, (_ID, request_id.encode())]
            elif message["type"] == "http.response.body":
                record["bytes"] += len(message.get("body", b""))
            await send(message)

        try:
            await app(scope, receive, counted)
        except Exception:
            log.exception("request failed in the edge stack", extra={"request_id": request_id})
            if not record["status"]:
                await refuse(counted, 500, f"Something failed here. Its reference is {request_id}.", close=True)
        finally:
            _finish(scope, request_id, record, time.perf_counter() - began)

    return observing


def take_request_id(scope: Scope) -> str:
    """The caller's id when it is sane, else a new one. The scope then carries exactly this one, for Django."""
    given = headers_of(scope, _ID)
    request_id = given[0] if len(given) == 1 and _SANE_ID.match(given[0]) else uuid.uuid4().hex
    scope["headers"] = [*((key, value) for key, value in scope["headers"] if key != _ID), (_ID, request_id.encode())]
    return request_id


def _finish(scope: Scope, request_id: str, record: dict[str, int], seconds: float) -> None:
    route = route_class(scope["path"])
    # No answer was sent: the client went away first.
    status = record["status"] or 499
    metrics.observe(route=route, method=scope["method"], status=status, seconds=seconds)
    client = scope.get("client")
    # Probes come several times a second while an installation starts; they would hide everything else.
    access.log(
        logging.DEBUG if route == "health" else logging.INFO,
        "request",
        extra={
            "request_id": request_id,
            "method": scope["method"][:16],
            "path": path_for_log(scope["path"]),
            "route": route,
            "status": status,
            "bytes": record["bytes"],
            "ms": round(seconds * 1000, 1),
            "client": client[0] if client else None,
        },
    )
