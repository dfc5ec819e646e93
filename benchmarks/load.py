"""Many clients that ask a chat completion server at once, in a process of their own that does as little as it can."""

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass
from statistics import quantiles
from typing import Any
from urllib.parse import urlsplit

PATH = "/v1/chat/completions"


@dataclass(frozen=True)
class Load:
    """Ask `url` with `at_once` clients for `seconds`; what came before `warm_up` seconds does not count."""

    url: str
    headers: dict[str, str]
    body: dict[str, Any]
    at_once: int
    seconds: float
    warm_up: float = 1.0


@dataclass(frozen=True)
class Found:
    """Answers per second, and the milliseconds within which a half, and 95 of 100, of them came.

    `answers` are all that came, those while it warmed up and refusals too.
    """

    per_second: float
    p50_ms: float
    p95_ms: float
    refused: int
    answers: int


class _Client(asyncio.Protocol):
    """Sends the same request again whenever its answer is complete."""

    def __init__(self, request: bytes, answers: list[tuple[float, float, bool]]) -> None:
        self._request, self._answers = request, answers
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._send()

    def _send(self) -> None:
        self._began = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, end, body = self._data.partition(b"\r\n\r\n")
        if not end or not _complete(head.lower(), body):
            return
        now = time.perf_counter()
        self._answers.append((now, (now - self._began) * 1000, head.startswith(b"HTTP/1.1 200")))
        self._data = b""
        self._send()


def _complete(head: bytes, body: bytes) -> bool:
    _, found, rest = head.partition(b"content-length:")
    if found:
        return len(body) >= int(rest.partition(b"\r\n")[0])
    return body.endswith(b"0\r\n\r\n")


async def _run(load: Load) -> Found:
    address = urlsplit(load.url)
    body = json.dumps(load.body).encode()
    lines = {
        "Host": address.netloc,
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        **load.headers,
    }
    head = f"POST {PATH} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    request = head.encode() + b"\r\n" + body
    answers: list[tuple[float, float, bool]] = []
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    clients = [
        await loop.create_connection(lambda: _Client(request, answers), address.hostname or "", address.port or 80)
        for _ in range(load.at_once)
    ]
    await asyncio.sleep(load.warm_up + load.seconds)
    for transport, _ in clients:
        transport.abort()
    counted = [(ms, good) for at, ms, good in answers if at >= began + load.warm_up]
    times = [ms for ms, good in counted if good]
    cuts = quantiles(times, n=100) if len(times) > 1 else [float("nan")] * 99
    return Found(len(times) / load.seconds, cuts[49], cuts[94], len(counted) - len(times), len(answers))


def main() -> None:
    """`python -m benchmarks.load JSON` prints what was found as JSON."""
    import uvloop

    print(json.dumps(asdict(uvloop.run(_run(Load(**json.loads(sys.argv[1])))))))


if __name__ == "__main__":
    main()
