"""A provider's server of a few lines: it answers chat completions at once, so that what is measured is its caller.

A request that holds the word `"slow"` is answered after 200 ms. A stream comes in one go, or stays open after its first
piece where the request holds `"held"`. GET says how many it has answered.
"""

import asyncio
import json
from typing import Any

HELD, SLOW = "held", "slow"
SLOW_SECONDS = 0.2
PIECES = 200
ANSWER = json.dumps(
    {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [
            {
                "index": 0, "logprobs": None, "finish_reason": "stop",
                "message": {"role": "assistant", "content": "An answer of some words. " * 8, "refusal": None},
            }
        ],
        "usage": {"prompt_tokens": 120, "completion_tokens": 40, "total_tokens": 160},
    }
).encode()  # fmt: skip
PIECE: dict[str, Any] = {
    "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m",
    "choices": [{"index": 0, "delta": {"content": " word"}, "logprobs": None, "finish_reason": None}],
}  # fmt: skip
LAST = {**PIECE, "choices": [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}]}


async def serve(port: int) -> None:
    """Answer on loopback until the process is ended."""
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


class Upstream(asyncio.Protocol):
    answered = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._data = b""

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, end, body = self._data.partition(b"\r\n\r\n")
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        if not end or len(body) < length:
            return
        self._data = b""
        if b'"stream":true' in body.replace(b" ", b""):
            self._stream(held=f'"{HELD}"'.encode() in body)
        else:
            asked = head.startswith(b"GET")
            answer = json.dumps({"answered": Upstream.answered}).encode() if asked else ANSWER
            Upstream.answered += not asked
            if f'"{SLOW}"'.encode() in body:
                asyncio.get_running_loop().call_later(SLOW_SECONDS, self._answer, answer)
            else:
                self._answer(answer)

    def _answer(self, body: bytes) -> None:
        self._transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        )

    def _stream(self, *, held: bool) -> None:
        self._transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        usage = {**PIECE, "choices": [], "usage": json.loads(ANSWER)["usage"]}
        pieces = [PIECE] if held else [*[PIECE] * PIECES, LAST, usage]
        lines = [b"data: " + json.dumps(piece).encode() + b"\n\n" for piece in pieces]
        if not held:
            lines.append(b"data: [DONE]\n\n")
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(line), line) for line in lines)
        self._transport.write(chunks if held else chunks + b"0\r\n\r\n")
