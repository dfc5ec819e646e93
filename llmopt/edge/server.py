"""Running the application with uvicorn."""

import os
from types import FrameType
from typing import Any

import uvicorn

# A page or a stream that has not ended by then is cut off.
GRACEFUL_SECONDS = 5
_APPLICATION = "llmopt.asgi:application"


class EdgeServer(uvicorn.Server):
    """Ends event streams when it is told to stop, instead of waiting for clients that never leave."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        from llmopt.asgi import application

        application.stop_streams()


def options() -> dict[str, Any]:
    """uvicorn's settings. Headers of a proxy are believed only from the addresses in LLMOPT_TRUSTED_PROXIES."""
    trusted = os.environ.get("LLMOPT_TRUSTED_PROXIES", "")
    return {
        "log_config": None,
        # The edge writes its own access line.
        "access_log": False,
        "server_header": False,
        "lifespan": "on",
        "timeout_graceful_shutdown": GRACEFUL_SECONDS,
        "timeout_keep_alive": 15,
        "proxy_headers": bool(trusted),
        "forwarded_allow_ips": trusted or None,
        "ws": "none",
    }


def serve(*, host: str, port: int, reload: bool = False) -> None:
    """Serve until SIGTERM or SIGINT."""
    if reload:
        uvicorn.run(
            _APPLICATION, host=host, port=port, reload=True, reload_dirs=["apps", "llmopt", "templates"], **options()
        )
        return
    EdgeServer(uvicorn.Config(_APPLICATION, host=host, port=port, **options())).run()
