"""200 open event streams on one web process: threads and memory, against a bare ASGI application that only waits.

Both run under the same uvicorn; the bare one knows no session, no database and no event.
"""

import asyncio
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psutil

from benchmarks import databases, figures
from benchmarks.figures import Pair
from benchmarks.servers import free_port, served

STREAMS, SETTLE_SECONDS, PATIENCE_SECONDS = 200, 3.0, 60.0


@dataclass(frozen=True)
class Cost:
    """What the streams added to a process that served none before, and its private memory with them."""

    threads: int
    added_mib: float
    memory_mib: float
    cpu_share: float


async def bare(scope: Any, receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
    """The floor: answers /healthz, and holds every other request open as an event stream."""
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
    if scope["type"] != "http":
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
    alone = scope["path"] == "/healthz"
    await send({"type": "http.response.body", "body": b"retry: 2000\n\n", "more_body": not alone})
    while not alone and (await receive())["type"] != "http.disconnect":
        pass


def main() -> None:
    given = figures.options(__doc__).parse_args()
    with databases.sqlite() as environment:
        os.environ.update(environment)
        slug, cookie = databases.signed_in()
        path = f"/t/{slug}/events/?topic=team"
        port, bare_port = free_port(), free_port()
        commands = (
            ([sys.executable, "manage.py", "web", "--port", str(port)], port, path, cookie),
            (_bare_command(bare_port), bare_port, "/", ""),
        )
        costs = [[_cost(*command) for command in commands] for _ in range(given.repeats)]
    idle = figures.spread([100 * ours.cpu_share for ours, _ in costs])
    print(f"events: {STREAMS} streams; CPU of the web process while nothing happens {idle} %")
    # Near zero on the bare side, where a ratio would only divide by noise.
    for what, name in (("threads", "threads"), ("MiB of private memory", "added_mib")):
        added, bare_added = (
            figures.spread([getattr(side, name) for side in sides]) for sides in zip(*costs, strict=True)
        )
        print(f"events: {what} added, web process {added}, bare ASGI application {bare_added}")
    memory = [Pair(ours.memory_mib, floor.memory_mib) for ours, floor in costs]
    title = f"events, private memory of the process with {STREAMS} streams"
    figures.show(title, memory, unit="MiB", ours="web process", peer="bare ASGI application")


def _bare_command(port: int) -> list[str]:
    return [sys.executable, "-m", "uvicorn", "benchmarks.events:bare", "--port", str(port), "--log-level", "error"]


def _cost(command: list[str], port: int, path: str, cookie: str) -> Cost:
    with served(command, port) as pid:
        return asyncio.run(_measured(psutil.Process(pid), port, path, cookie))


async def _measured(process: psutil.Process, port: int, path: str, cookie: str) -> Cost:
    before = process.num_threads(), _private_mib(process)
    writers = [await _open(port, path, cookie) for _ in range(STREAMS)]
    await asyncio.sleep(SETTLE_SECONDS)
    used = process.cpu_times()
    await asyncio.sleep(SETTLE_SECONDS)
    after = process.cpu_times()
    share = (after.user + after.system - used.user - used.system) / SETTLE_SECONDS
    memory = _private_mib(process)
    cost = Cost(process.num_threads() - before[0], memory - before[1], memory, share)
    for writer in writers:
        writer.close()
    return cost


async def _open(port: int, path: str, cookie: str) -> asyncio.StreamWriter:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    cookies = f"Cookie: {cookie}\r\n" if cookie else ""
    writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{cookies}\r\n".encode())
    answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE_SECONDS)
    if b" 200 " not in answer.splitlines()[0]:
        raise RuntimeError(f"the stream was refused: {answer.splitlines()[0]!r}")
    await asyncio.wait_for(reader.readuntil(b"retry: 2000"), PATIENCE_SECONDS)
    return writer


def _private_mib(process: psutil.Process) -> float:
    return float(process.memory_full_info().uss) / 2**20


if __name__ == "__main__":
    main()
