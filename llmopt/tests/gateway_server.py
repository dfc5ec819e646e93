"""The whole edge stack behind a real socket, in a thread of the tests, for clients that nobody here wrote."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from django.core.asgi import get_asgi_application

from llmopt.edge.stack import build


@contextmanager
def edge_server() -> Iterator[str]:
    """The address of a running server."""
    # Django's own handler takes narrower shapes than ASGI's.
    application: Any = build(get_asgi_application())  # type: ignore[arg-type]
    config = uvicorn.Config(
        application, host="127.0.0.1", port=0, log_config=None, access_log=False, lifespan="on", ws="none",
        timeout_graceful_shutdown=5,
    )  # fmt: skip
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started:
        assert thread.is_alive(), "the server ended while it started"
        assert time.monotonic() < deadline, "the server did not start within 20 s"
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)
