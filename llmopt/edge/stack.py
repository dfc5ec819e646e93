"""Putting the stack together: observe → limit → answer here, or hand on to Django."""

from dataclasses import dataclass

from llmopt.edge.asgi_types import Application, Receive, Scope, Send
from llmopt.edge.events import EventStreams
from llmopt.edge.gateway.app import PREFIX as GATEWAY_PREFIX
from llmopt.edge.gateway.app import Gateway
from llmopt.edge.health import Readiness, healthz
from llmopt.edge.limits import Limits, limited, limits_from_environment
from llmopt.edge.metrics import metrics_endpoint
from llmopt.edge.observe import observed
from llmopt.edge.pages import pages_from_environment
from llmopt.edge.routes import EVENTS, STATIC_PREFIX
from llmopt.edge.static import StaticFiles, locate_from_settings


@dataclass
class Edge:
    """The ASGI application that a server runs."""

    http: Application
    streams: EventStreams
    gateway: Gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self.http(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})

    def stop_streams(self) -> None:
        """Called when the server begins to stop; open streams would hold it up until its time limit."""
        self.streams.close()

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                self.stop_streams()
                await self.gateway.aclose()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return


def build(django: Application, *, limits: Limits | None = None, streams: EventStreams | None = None) -> Edge:
    streams, gateway = streams or EventStreams(), Gateway()
    inner = dispatch(pages=pages_from_environment(django), streams=streams, gateway=gateway)
    return Edge(observed(limited(inner, limits or limits_from_environment())), streams, gateway)


def dispatch(*, pages: Application, streams: Application, gateway: Application) -> Application:
    """Choose by path. Everything that is not answered here is Django's."""
    exact: dict[str, Application] = {"/healthz": healthz, "/readyz": Readiness(), "/metrics": metrics_endpoint}
    files = StaticFiles(locate_from_settings())

    async def dispatching(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if path in exact:
            await exact[path](scope, receive, send)
        elif path.startswith(STATIC_PREFIX):
            await files(scope, receive, send)
        elif path.startswith(GATEWAY_PREFIX):
            await gateway(scope, receive, send)
        elif EVENTS.match(path):
            await streams(scope, receive, send)
        else:
            await pages(scope, receive, send)

    return dispatching
