"""What the inference process is started with."""

from __future__ import annotations

import argparse
import ipaddress
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from apps.providers.engine.inference.scheduler import QueueLimits


@dataclass(frozen=True, slots=True)
class InferenceSettings:
    """Checked start-up settings. ``token`` None means that no bearer token is asked for."""

    models: Path
    host: str = "127.0.0.1"
    port: int = 8710
    threads: int = 1
    token: str | None = None
    max_loaded: int = 2
    max_context: int = 4096
    max_tokens_limit: int = 1024
    max_body_bytes: int = 1024 * 1024
    parent_death: bool = False
    queue: QueueLimits = QueueLimits()

    @property
    def allowed_hosts(self) -> tuple[str, ...]:
        """Host headers that are answered: without a token only names of this machine, against DNS rebinding."""
        if self.token is not None:
            return ("*",)
        return ("127.0.0.1", "localhost", "[::1]", self.host)


def read_settings(arguments: Sequence[str]) -> InferenceSettings:
    """Read the command line; ends the process with a sentence when it makes no sense."""
    parser = argparse.ArgumentParser(
        prog="python -m apps.providers.engine.inference", description="Serve local models as an OpenAI-compatible API."
    )
    parser.add_argument("--models", type=Path, required=True, help="folder with one folder per model")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8710)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="threads of one batch")
    parser.add_argument("--token-file", type=Path, help="file that holds the bearer token to ask for")
    parser.add_argument("--idle-unload-seconds", type=float, default=20.0)
    parser.add_argument("--max-loaded", type=int, default=2, help="models in memory at once")
    parser.add_argument("--max-batch", type=int, default=16, help="sequences of one batch")
    parser.add_argument("--max-waiting", type=int, default=256, help="requests that may wait")
    parser.add_argument("--max-context", type=int, default=4096, help="longest prompt and answer, in tokens")
    parser.add_argument("--max-tokens-limit", type=int, default=1024, help="longest answer, in tokens")
    parser.add_argument("--parent-death", action="store_true", help="end when the starting process ends (Linux)")
    options = parser.parse_args(arguments)
    for name in ("threads", "max_loaded", "max_batch", "max_waiting", "max_context", "max_tokens_limit"):
        if getattr(options, name) < 1:
            parser.error(f"--{name.replace('_', '-')} must be at least 1")
    token = _read_token(options.token_file, parser)
    if token is None and not _is_loopback(options.host):
        parser.error(f"--host {options.host} can be reached from outside, so --token-file is needed")
    return InferenceSettings(
        models=options.models,
        host=options.host,
        port=options.port,
        threads=options.threads,
        token=token,
        max_loaded=options.max_loaded,
        max_context=options.max_context,
        max_tokens_limit=options.max_tokens_limit,
        parent_death=options.parent_death,
        queue=QueueLimits(
            max_waiting=options.max_waiting,
            max_batch=options.max_batch,
            idle_unload_seconds=options.idle_unload_seconds,
        ),
    )


def _read_token(path: Path | None, parser: argparse.ArgumentParser) -> str | None:
    if path is None:
        return None
    try:
        token = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        parser.error(f"--token-file cannot be read: {error}")
    if not re.fullmatch(r"[!-~]{16,}", token):
        parser.error(f"--token-file {path} must hold at least 16 printable characters without spaces")
    return token


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
