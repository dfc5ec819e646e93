"""A file of 50 MB sent to the web process as its form does: seconds from its last byte to the answer, and to the page.

The floor is a bare ASGI application under the same server that writes the body to a file as it arrives. What the file
holds is found out by a job, which does not run here.
"""

import os
import socket
import sys
import tempfile
from collections.abc import Callable
from http.client import HTTPConnection, HTTPResponse
from time import perf_counter
from typing import Any

from benchmarks import databases, figures
from benchmarks.figures import Pair
from benchmarks.servers import free_port, served

FILE_BYTES = 49_900_000
_BOUNDARY, _TOKEN = "----of-the-benchmark", "t" * 32
_LINE = b'{"input": "Where is the parcel that I sent back weeks ago?", "expected": "a question about a return"}\n'


async def bare(scope: Any, receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
    """The floor: answers /healthz, and writes every body to a file."""
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
    with tempfile.TemporaryFile() as file:
        more = True
        while more:
            message = await receive()
            file.write(message["body"])
            more = message["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})


def main() -> None:
    given = figures.options(__doc__).parse_args()
    content = (_LINE * (FILE_BYTES // len(_LINE) + 1))[:FILE_BYTES]
    with databases.sqlite() as environment:
        os.environ.update(environment)
        slug, cookie = databases.signed_in()
        port, bare_port = free_port(), free_port()
        web = [sys.executable, "manage.py", "web", "--port", str(port)]
        floor = [sys.executable, "-m", "uvicorn", "benchmarks.upload:bare", "--port", str(bare_port)]
        turns, pages = figures.Turns(), list[float]()

        def ours() -> float:
            seconds, location = _sent(port, f"/t/{slug}/datasets/new/", cookie, content, status=302)
            pages.append(seconds + figures.seconds_of(lambda: _fetched(port, location, cookie)))
            return seconds

        with served(web, port), served([*floor, "--log-level", "error"], bare_port):
            _fetched(port, f"/t/{slug}/datasets/new/", cookie)
            pairs: list[Pair] = figures.repeated(
                lambda: turns.pair(ours, lambda: _sent(bare_port, "/", "", content, status=200)[0]), given.repeats
            )
    title = f"upload, seconds from the last byte of {FILE_BYTES / 1e6:.0f} MB to the answer"
    figures.show(title, pairs, unit="s", ours="web process", peer="bare ASGI application")
    print(f"  until the page that follows is there: {figures.spread(pages)} s")


def _sent(port: int, path: str, cookie: str, content: bytes, *, status: int) -> tuple[float, str]:
    """Post the file as a form does. Seconds from the last byte to the head of the answer, and where that leads."""
    name = 'Content-Disposition: form-data; name="file"; filename="mail.jsonl"\r\nContent-Type: application/json'
    token = f'Content-Disposition: form-data; name="csrfmiddlewaretoken"\r\n\r\n{_TOKEN}'
    start = f"--{_BOUNDARY}\r\n{token}\r\n--{_BOUNDARY}\r\n{name}\r\n\r\n".encode()
    end = f"\r\n--{_BOUNDARY}--\r\n".encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nCookie: {cookie}; csrftoken={_TOKEN}\r\n"
        f"Content-Type: multipart/form-data; boundary={_BOUNDARY}\r\n"
        f"Content-Length: {len(start) + len(content) + len(end)}\r\nConnection: close\r\n\r\n"
    ).encode()
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(head + start + content + end)
        sent = perf_counter()
        answer = HTTPResponse(connection)
        answer.begin()
        seconds = perf_counter() - sent
        if answer.status != status:
            raise RuntimeError(f"{path} answered {answer.status}: {answer.read()[:500]!r}")
        return seconds, answer.headers.get("Location", "")


def _fetched(port: int, path: str, cookie: str) -> None:
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", path, headers={"Cookie": cookie})
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{path} answered {answer.status}")
    finally:
        connection.close()


if __name__ == "__main__":
    main()
