"""Static files with strong validators, compressed copies where they exist, and no way out of their folders."""

import asyncio
import hashlib
import mimetypes
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from django.conf import settings
from django.contrib.staticfiles import finders
from django.core.exceptions import SuspiciousOperation
from starlette.responses import FileResponse

from llmopt.edge.asgi_types import SECURITY_HEADERS, Receive, Scope, Send, header_of, refuse
from llmopt.edge.routes import STATIC_PREFIX

# `app.5f0c1a2b3c4d.css`: a name with the content's hash in it never means anything else.
_HASHED_NAME = re.compile(r"\.[0-9a-f]{8,32}\.[^.]+$")
_FOR_EVER = b"public, max-age=31536000, immutable"
_ASK_EACH_TIME = b"public, no-cache"
_ENCODINGS = ((".br", "br"), (".gz", "gzip"))

mimetypes.add_type("text/javascript", ".js")
mimetypes.add_type("text/javascript", ".mjs")
mimetypes.add_type("font/woff2", ".woff2")
mimetypes.add_type("image/svg+xml", ".svg")


@dataclass(frozen=True)
class Asset:
    """One file as it is served. `encoding` is empty for the file itself."""

    path: Path
    stat: os.stat_result
    etag: str
    encoding: str


@dataclass
class StaticFiles:
    """Serves names that `locate` finds."""

    locate: Callable[[str], Path | None]
    _etags: dict[tuple[str, int, int], str] = field(default_factory=dict)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] not in ("GET", "HEAD"):
            await refuse(send, 405, "Files can only be read.", headers=[(b"allow", b"GET, HEAD")])
            return
        name = scope["path"].removeprefix(STATIC_PREFIX)
        accepted = _accepted(header_of(scope, b"accept-encoding") or "")
        # A range counts bytes of the file itself.
        asset = await asyncio.to_thread(self.find, name, frozenset() if header_of(scope, b"range") else accepted)
        if asset is None:
            await refuse(send, 404, "There is no such file.")
            return
        headers = _headers(asset, name)
        if _same(header_of(scope, b"if-none-match"), asset.etag):
            await _not_modified(send, headers)
            return
        response = FileResponse(asset.path, stat_result=asset.stat, media_type=_media_type(name))
        response.raw_headers = [pair for pair in response.raw_headers if pair[0] != b"etag"] + headers
        await response(scope, receive, send)

    def find(self, name: str, accepted: frozenset[str]) -> Asset | None:
        """The best copy of `name` for a client that accepts these encodings. Touches the disk."""
        if not is_safe_name(name):
            return None
        path = self.locate(name)
        if path is None or not path.is_file():
            return None
        original = path.stat()
        for suffix, encoding in _ENCODINGS:
            copy = path.with_name(path.name + suffix)
            # An older copy belongs to an older file.
            if encoding in accepted and copy.is_file() and copy.stat().st_mtime >= original.st_mtime:
                return Asset(copy, copy.stat(), self._etag(copy), encoding)
        return Asset(path, original, self._etag(path), "")

    def _etag(self, path: Path) -> str:
        """A hash of the content, computed once for each state of the file."""
        stat = path.stat()
        key = (str(path), stat.st_mtime_ns, stat.st_size)
        if key not in self._etags:
            if len(self._etags) > 10_000:
                self._etags.clear()
            self._etags[key] = f'"{hashlib.sha256(path.read_bytes()).hexdigest()[:32]}"'
        return self._etags[key]


def is_safe_name(name: str) -> bool:
    """A relative path of plain names: no parent, no hidden file, nothing that another system reads as a separator."""
    parts = name.split("/")
    return bool(name) and not any(part == "" or part.startswith(".") for part in parts) and not set(name) & set("\\\0:")


def locate_from_settings() -> Callable[[str], Path | None]:
    """Collected files; in the embedded default the source folders first, so that nothing has to be collected."""
    root = Path(settings.STATIC_ROOT).resolve()
    use_finders = bool(settings.EMBEDDED or settings.DEBUG)

    def locate(name: str) -> Path | None:
        if use_finders:
            try:
                found = finders.find(name)
            except SuspiciousOperation:
                return None
            if isinstance(found, str):
                return Path(found)
        path = (root / name).resolve()
        return path if path.is_relative_to(root) and path.is_file() else None

    return locate


def _headers(asset: Asset, name: str) -> list[tuple[bytes, bytes]]:
    headers = [
        (b"etag", asset.etag.encode()),
        (b"cache-control", _FOR_EVER if _HASHED_NAME.search(name) else _ASK_EACH_TIME),
        (b"vary", b"accept-encoding"),
        *SECURITY_HEADERS,
    ]
    return [*headers, (b"content-encoding", asset.encoding.encode())] if asset.encoding else headers


async def _not_modified(send: Send, headers: list[tuple[bytes, bytes]]) -> None:
    await send({"type": "http.response.start", "status": 304, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def _media_type(name: str) -> str:
    media_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
    return (
        f"{media_type}; charset=utf-8" if media_type.startswith("text/") or media_type.endswith("json") else media_type
    )


def _accepted(header: str) -> frozenset[str]:
    """Encodings that the client names without refusing them by q=0."""
    names = set()
    for item in header.split(","):
        name, _, quality = item.strip().partition(";")
        if quality.replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}:
            names.add(name.strip().lower())
    return frozenset(names)


def _same(if_none_match: str | None, etag: str) -> bool:
    if if_none_match is None:
        return False
    given = [value.strip().removeprefix("W/") for value in if_none_match.split(",")]
    return etag in given or "*" in given
