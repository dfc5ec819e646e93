"""What a call costs this process: the wire client against OpenAI's SDK, the same chat completion over loopback.

Then 200 open streams at once: memory and threads that they add, each side in a process of its own.
"""

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import psutil

from benchmarks import figures, machine, servers, upstream
from benchmarks.figures import Pair, Turns
from benchmarks.upstream import HELD, PIECES

CALLS = 1_000
AT_ONCE = 25
STREAMS = 200
UPSTREAM, HOLD, CALL = "--upstream", "--hold", "--call"
QUESTION = "Split this address into its fields: 123 Main Street, Springfield. " * 6
# What must not be collected, and so closed, before the process ends.
_KEPT: list[object] = []
Call = Callable[[], Awaitable[object]]


def main() -> None:
    options = figures.options(__doc__)
    options.add_argument(UPSTREAM, type=int, metavar="PORT", help="be the server that both sides call")
    for name in (CALL, HOLD):
        options.add_argument(name, nargs=2, metavar=("SIDE", "PORT"), help="be one side, and print its figures")
    given = options.parse_args()
    if given.upstream:
        asyncio.run(upstream.serve(given.upstream))
    elif given.call:
        asyncio.run(_say(_milliseconds(*_side(given.call, "m"))))
    elif given.hold:
        asyncio.run(_say(_held(*_side(given.hold, HELD))))
    else:
        port = servers.free_port()
        with servers.served([sys.executable, "-m", "benchmarks.clients", UPSTREAM, str(port)], port):
            _compare(port, given.repeats)


def _compare(port: int, repeats: int) -> None:
    turns = Turns()
    calls = figures.repeated(
        lambda: turns.pair(lambda: _run(CALL, "ours", port)[0], lambda: _run(CALL, "sdk", port)[0]), repeats
    )
    figures.show(
        f"a call, {AT_ONCE} at once", calls, unit="ms of CPU", ours="wire client", peer="OpenAI's SDK as it comes"
    )
    streams = figures.repeated(
        lambda: turns.pair(lambda: _run(CALL, "ours", port)[1], lambda: _run(CALL, "sdk", port)[1]), repeats
    )
    figures.show(
        f"a stream of {PIECES} pieces, {AT_ONCE} at once", streams, unit="ms of CPU", ours="wire client",
        peer="OpenAI's SDK as it comes",
    )  # fmt: skip
    held = [(_run(HOLD, "ours", port), _run(HOLD, "sdk", port)) for _ in range(max(1, repeats))]
    figures.show(
        f"memory that {STREAMS} open streams add", [Pair(ours[0], peer[0]) for ours, peer in held], unit="MiB",
        ours="wire client", peer="OpenAI's SDK as it comes",
    )  # fmt: skip
    threads = [f"{ours[1]:.0f} against {peer[1]:.0f}" for ours, peer in held]
    print(f"  threads that they add: {', '.join(threads)}", flush=True)


async def _say(measured: Awaitable[list[float]]) -> None:
    print(json.dumps(await measured), flush=True)
    # Nothing is closed: neither side would do that in an order that its generators like.
    os._exit(0)


def _run(what: str, side: str, port: int) -> list[float]:
    command = [sys.executable, "-m", "benchmarks.clients", what, side, str(port)]
    done = subprocess.run(command, cwd=machine.ROOT, check=True, stdout=subprocess.PIPE)
    figures_of_side: list[float] = json.loads(done.stdout)
    return figures_of_side


def _side(where: list[str], model: str) -> tuple[Call, Callable[[], Any]]:
    """A call for a whole answer, and one that gives a stream of pieces."""
    name, port = where
    url = f"http://127.0.0.1:{port}/v1"
    calls = _ours(url, model) if name == "ours" else _sdk(url, model)
    _KEPT.append(calls)
    return calls


def _ours(url: str, model: str) -> tuple[Call, Callable[[], Any]]:
    from apps.providers.engine.clients.base import GenerateRequest
    from apps.providers.engine.clients.connections import Limits
    from apps.providers.engine.clients.openai_compatible import OpenAICompatibleClient
    from apps.providers.engine.messages import Message

    client = OpenAICompatibleClient(url, api_key="key", limits=Limits(connections=STREAMS))
    request = GenerateRequest(model, (Message("system", "Be brief."), Message("user", QUESTION)), 64)

    async def stream() -> Any:
        return client.stream(request)

    return lambda: client.generate(request), stream


def _sdk(url: str, model: str) -> tuple[Call, Callable[[], Any]]:
    import openai

    sdk = openai.AsyncOpenAI(base_url=url, api_key="key", max_retries=0)
    messages: Any = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": QUESTION}]
    create = sdk.chat.completions.create

    async def stream() -> Any:
        return await create(
            model=model, messages=messages, max_tokens=64, stream=True, stream_options={"include_usage": True}
        )

    return lambda: create(model=model, messages=messages, max_tokens=64), stream


async def _milliseconds(call: Call, stream: Callable[[], Any]) -> list[float]:
    """CPU of this process for a whole answer and for a streamed one."""

    async def read() -> None:
        async for _piece in await stream():
            pass

    whole = await _cpu_of(call, CALLS)
    return [whole, await _cpu_of(read, CALLS // 10)]


async def _cpu_of(call: Call, count: int) -> float:
    async def some(number: int) -> None:
        for _ in range(number):
            await call()

    await asyncio.gather(*(some(2) for _ in range(AT_ONCE)))
    started = time.process_time()
    await asyncio.gather(*(some(count // AT_ONCE) for _ in range(AT_ONCE)))
    return (time.process_time() - started) * 1000 / (count // AT_ONCE * AT_ONCE)


async def _held(call: Call, stream: Callable[[], Any]) -> list[float]:
    """Memory in MiB and threads that so many streams add, each in the middle of its answer."""
    await call()
    process = psutil.Process()
    memory, threads = process.memory_full_info().uss, threading.active_count()
    open_streams = [aiter(await stream()) for _ in range(STREAMS)]
    _KEPT.append(open_streams)
    await asyncio.gather(*(anext(pieces) for pieces in open_streams))
    return [(process.memory_full_info().uss - memory) / 2**20, threading.active_count() - threads]


if __name__ == "__main__":
    main()
