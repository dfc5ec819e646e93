"""Server-sent events out of bytes, as they come."""

from __future__ import annotations

from apps.core.engine.messages import gettext_noop
from apps.providers.engine.clients.base import BadAnswer
from apps.providers.engine.clients.connections import Limits, too_large


class EventReader:
    """Splits a stream into the ``data`` of its events; other fields and comments are skipped.

    An event may span lines and chunks; lines end with LF or CRLF. Raises ``BadAnswer`` for a stream or a line beyond
    its limit.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._rest: list[bytes] = []
        self._rest_size = 0
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """The data of the events that this chunk completes."""
        self._size += len(chunk)
        if self._size > self._limits.stream_bytes:
            raise too_large(self._limits.stream_bytes, 200)
        lines = chunk.split(b"\n")
        self._rest_size += len(lines[0])
        if self._rest_size > self._limits.line_bytes or len(lines[-1]) > self._limits.line_bytes:
            template = gettext_noop("A line of the provider's stream is larger than %(most)s bytes; it was dropped.")
            raise BadAnswer(template, most=self._limits.line_bytes, status=200)
        # Kept in pieces: joining them with each chunk would take a time that grows with the line's square.
        self._rest.append(lines[0])
        if len(lines) == 1:
            return []
        lines[0] = b"".join(self._rest)
        self._rest = [lines.pop()]
        self._rest_size = len(self._rest[0])
        events = []
        for line in lines:
            if line.startswith(b"data:"):
                self._data.append(line[5:].strip())
            elif self._data and line in (b"", b"\r"):
                events.append(b"\n".join(self._data))
                self._data.clear()
        return events

    def finish(self) -> list[bytes]:
        """The last event of a stream that ends without an empty line."""
        return self.feed(b"\n\n")
