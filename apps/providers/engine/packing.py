"""A .zip that is written while it is sent: no copy of it in memory or on disk, however large its files are."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

CHUNK = 1024 * 1024
# Archives of the same files are the same bytes, whenever they are made.
_DATE = (2020, 1, 1, 0, 0, 0)


class _Sink:
    """What zipfile writes to: it can neither seek nor tell, so sizes follow the data."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing is kept back."""

    def take(self) -> bytes:
        data = b"".join(self._parts)
        self._parts.clear()
        return data


def zip_chunks(files: Sequence[tuple[str, Path | bytes]]) -> Iterator[bytes]:
    """The bytes of a .zip (stored, zip64) of these names and files, about CHUNK at a time."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED, allowZip64=True) as packed:  # type: ignore[call-overload]
        for name, content in files:
            member = zipfile.ZipInfo(name, _DATE)
            member.external_attr = 0o100644 << 16
            with packed.open(member, "w", force_zip64=True) as out:
                for chunk in _chunks(content):
                    out.write(chunk)
                    yield sink.take()
            yield sink.take()
    yield sink.take()


def _chunks(content: Path | bytes) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    with content.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk
