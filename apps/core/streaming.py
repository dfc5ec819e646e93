"""Sending what is too large for memory, part by part."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from django.http import StreamingHttpResponse

_CHUNK = 1024 * 1024


def download(chunks: Iterator[bytes], *, name: str, content_type: str) -> StreamingHttpResponse:
    """An attachment called `name`, made while it is sent."""
    response = StreamingHttpResponse(in_threads(chunks), content_type=content_type)
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def file_chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


async def in_threads(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    """The same, read in a thread, so that a slow disk or reader holds up nobody else."""
    end = object()
    while (chunk := await asyncio.to_thread(next, chunks, end)) is not end:
        if chunk:
            yield chunk  # type: ignore[misc]
