"""Starting and ending the process: one uvicorn server, signals, and the parent's death."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import socket
import sys
from functools import partial
from types import FrameType

import uvicorn

from apps.providers.engine.inference.app import Service, create_app
from apps.providers.engine.inference.catalogue import Catalogue
from apps.providers.engine.inference.rendering import Renderer
from apps.providers.engine.inference.residency import Residency, open_backend
from apps.providers.engine.inference.scheduler import Scheduler
from apps.providers.engine.inference.settings import InferenceSettings

GRACE_SECONDS = 10
_PR_SET_PDEATHSIG = 1

logger = logging.getLogger(__name__)


class _Server(uvicorn.Server):
    """Stops taking work at the first SIGTERM, so that the grace time is for the batch that runs."""

    def __init__(self, config: uvicorn.Config, scheduler: Scheduler) -> None:
        super().__init__(config)
        self._scheduler = scheduler

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._scheduler.drain()
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        logger.info("signal %d: finishing what runs, at most %d s", sig, GRACE_SECONDS)
        super().handle_exit(sig, frame)
        if self.force_exit:
            self._scheduler.abort()


def build_service(settings: InferenceSettings) -> Service:
    """Wire the parts together."""
    catalogue = Catalogue(settings.models, max_context=settings.max_context)
    residency = Residency(partial(open_backend, threads=settings.threads), limit=settings.max_loaded)
    return Service(
        settings=settings,
        catalogue=catalogue,
        residency=residency,
        scheduler=Scheduler(catalogue, residency, settings.queue),
        renderer=Renderer(),
    )


def serve(settings: InferenceSettings) -> None:
    """Serve until SIGTERM or SIGINT."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    if settings.parent_death:
        end_with_parent()
    service = build_service(settings)
    config = uvicorn.Config(
        create_app(service),
        host=settings.host,
        port=settings.port,
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
        timeout_keep_alive=75,
    )
    signal.signal(signal.SIGTERM, _leave)  # uvicorn raises the signal again when it has ended in good order
    _Server(config, service.scheduler).run()


def _leave(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


def end_with_parent() -> None:
    """Ask the kernel for SIGTERM when the starting process dies, however it dies. Linux only."""
    if sys.platform != "linux":
        raise SystemExit("--parent-death needs Linux.")
    parent = os.getppid()
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0) != 0:
        raise SystemExit(f"--parent-death failed: {os.strerror(ctypes.get_errno())}.")
    if os.getppid() != parent:
        raise SystemExit("The starting process has already ended.")
