"""A model hub on this machine that speaks the hub's protocol over a real socket: descriptions, redirects, ranges."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

REVISION = "c0ffee" + "0" * 34
LARGE = (".safetensors", ".bin")


@dataclass
class Hub:
    """One repository at one commit. Tests change it while it serves, and read what it was asked for."""

    repository: str
    files: dict[str, bytes]
    url: str = ""
    #: The place of large files says nothing more after so many bytes, until it is mended.
    breaks_after: int | None = None
    ignores_ranges: bool = False
    #: Sent instead of what is described, by file name.
    instead: dict[str, bytes] = field(default_factory=dict)
    status: int = 200
    #: Held back between two pieces of a large file.
    hold: threading.Event | None = None
    ranges: list[str | None] = field(default_factory=list)
    sent: int = 0


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def git_hash(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def described(hub: Hub) -> dict[str, Any]:
    """What the hub's interface says of the repository."""
    siblings = []
    for name, content in hub.files.items():
        entry: dict[str, Any] = {"rfilename": name, "size": len(content), "blobId": git_hash(content)}
        if name.endswith(LARGE):
            entry["lfs"] = {"sha256": sha256(content), "size": len(content), "pointerSize": 134}
        siblings.append(entry)
    return {"id": hub.repository, "modelId": hub.repository, "sha": REVISION, "private": False, "siblings": siblings}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_args: Any) -> None:
        """Tests print nothing."""

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        path = self.path.split("?")[0]
        if self.hub.status != 200:
            self._say(self.hub.status, b"in trouble", {}, body=body)
        elif path == f"/api/models/{self.hub.repository}/revision/{REVISION}":
            content = json.dumps(described(self.hub)).encode()
            self._say(200, content, {"Content-Type": "application/json"}, body=body)
        elif path.startswith(f"/{self.hub.repository}/resolve/{REVISION}/"):
            self._resolve(path.rpartition("/")[2], body=body)
        elif path.startswith("/cdn/") and body:
            self._large(path.rpartition("/")[2])
        else:
            self._say(404, b"", {"X-Error-Code": "RevisionNotFound"}, body=body)

    def _say(self, status: int, content: bytes, headers: dict[str, str], *, body: bool) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body:
            self.wfile.write(content)

    def _resolve(self, name: str, *, body: bool) -> None:
        content = self.hub.files.get(name)
        if content is None:
            self._say(404, b"", {"X-Error-Code": "EntryNotFound"}, body=body)
        elif name.endswith(LARGE):
            headers = {
                # As on the hub, large files lie at another host, which is not asked before they are read.
                "Location": f"{self.hub.url.replace('127.0.0.1', 'localhost')}/cdn/{name}",
                "X-Repo-Commit": REVISION,
                "X-Linked-Size": str(len(content)),
                "X-Linked-Etag": f'"{sha256(content)}"',
            }
            self._say(302, b"", headers, body=body)
        else:
            headers = {"ETag": f'"{git_hash(content)}"', "X-Repo-Commit": REVISION}
            self._say(200, self.hub.instead.get(name, content), headers, body=body)

    def _large(self, name: str) -> None:
        content = self.hub.instead.get(name, self.hub.files[name])
        asked = self.headers.get("Range")
        self.hub.ranges.append(asked)
        if self.hub.breaks_after == 0:
            self._say(503, b"gone", {}, body=True)
            return
        start = 0
        match = re.fullmatch(r"bytes=(\d+)-", asked or "")
        if match and not self.hub.ignores_ranges:
            start = int(match.group(1))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self._pieces(content[start:])

    def _pieces(self, content: bytes) -> None:
        for place in range(0, len(content), 65536):
            piece = content[place : place + 65536]
            if self.hub.breaks_after is not None and self.hub.sent + len(piece) > self.hub.breaks_after:
                self.hub.breaks_after = 0
                self.close_connection = True
                return
            if self.hub.hold is not None and self.hub.sent >= 512 * 1024:
                self.hub.hold.wait(60)
            try:
                self.wfile.write(piece)
            except OSError:
                return  # whoever asked was ended
            self.hub.sent += len(piece)


@contextmanager
def serving(repository: str, folder: Path) -> Iterator[Hub]:
    """Serve the files of a folder as that repository at REVISION, until the end of the block."""
    hub = Hub(repository, {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()})
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
