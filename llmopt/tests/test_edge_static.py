"""Static files: validators, compressed copies, and no way out of the folder."""

import gzip
import os
from pathlib import Path

import pytest

from llmopt.edge.static import StaticFiles, is_safe_name, locate_from_settings
from llmopt.tests.asgi_client import HOST, call

pytestmark = pytest.mark.asyncio


@pytest.fixture
def files(tmp_path: Path) -> StaticFiles:
    folder = tmp_path / "static"
    folder.mkdir()
    (folder / "app.js").write_text("let a = 1;")
    (folder / "app.0123456789ab.css").write_text("a{}")
    (folder / ".hidden").write_text("secret")
    (tmp_path / "outside.txt").write_text("secret")
    return StaticFiles(lambda name: folder / name)


async def test_a_file_has_its_type_and_a_strong_validator_that_saves_sending_it_again(files: StaticFiles) -> None:
    first = await call(files, "/static/app.js")
    assert (first.status, first.text) == (200, "let a = 1;")
    assert first.headers["content-type"] == "text/javascript; charset=utf-8"
    assert first.headers["cache-control"] == "public, no-cache"
    assert first.headers["x-content-type-options"] == "nosniff"
    etag = first.headers["etag"]
    assert etag.startswith('"')
    again = await call(files, "/static/app.js", headers=[HOST, (b"if-none-match", etag.encode())])
    assert (again.status, again.body) == (304, b"")


async def test_the_validator_follows_the_content(files: StaticFiles, tmp_path: Path) -> None:
    before = await call(files, "/static/app.js")
    (tmp_path / "static" / "app.js").write_text("let a = 2;")
    os.utime(tmp_path / "static" / "app.js", (1, 1))
    after = await call(files, "/static/app.js")
    assert before.headers["etag"] != after.headers["etag"]
    assert after.text == "let a = 2;"


async def test_a_name_with_a_hash_in_it_is_kept_for_ever(files: StaticFiles) -> None:
    answer = await call(files, "/static/app.0123456789ab.css")
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"


async def test_a_compressed_copy_is_sent_to_who_accepts_it(files: StaticFiles, tmp_path: Path) -> None:
    (tmp_path / "static" / "app.js.gz").write_bytes(gzip.compress(b"let a = 1;"))
    packed = await call(files, "/static/app.js", headers=[HOST, (b"accept-encoding", b"br, gzip")])
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.headers["content-type"] == "text/javascript; charset=utf-8"
    assert gzip.decompress(packed.body) == b"let a = 1;"
    plain = await call(files, "/static/app.js", headers=[HOST, (b"accept-encoding", b"gzip;q=0")])
    assert "content-encoding" not in plain.headers
    assert plain.headers["etag"] != packed.headers["etag"]
    assert plain.headers["vary"] == "accept-encoding"


async def test_a_compressed_copy_of_an_older_file_is_not_sent(files: StaticFiles, tmp_path: Path) -> None:
    copy = tmp_path / "static" / "app.js.gz"
    copy.write_bytes(gzip.compress(b"old"))
    os.utime(copy, (1, 1))
    answer = await call(files, "/static/app.js", headers=[HOST, (b"accept-encoding", b"gzip")])
    assert answer.text == "let a = 1;"


async def test_a_range_is_of_the_file_itself(files: StaticFiles) -> None:
    headers = [HOST, (b"range", b"bytes=4-6"), (b"accept-encoding", b"gzip")]
    answer = await call(files, "/static/app.js", headers=headers)
    assert (answer.status, answer.text) == (206, "a =")


@pytest.mark.parametrize(
    "name",
    ["../outside.txt", "a/../../outside.txt", "/etc/passwd", "..\\outside.txt", ".hidden", "a//b", "", "a\0b", "a/"],
)
async def test_no_name_leads_out_of_the_folder(files: StaticFiles, name: str) -> None:
    assert not is_safe_name(name)
    assert (await call(files, f"/static/{name}")).status == 404


async def test_a_link_out_of_the_collected_folder_is_not_followed(settings: object, tmp_path: Path) -> None:
    root = tmp_path / "collected"
    root.mkdir()
    (tmp_path / "secret.txt").write_text("secret")
    (root / "link.txt").symlink_to(tmp_path / "secret.txt")
    (root / "own.txt").write_text("own")
    settings.STATIC_ROOT, settings.EMBEDDED, settings.DEBUG = root, False, False  # type: ignore[attr-defined]
    locate = locate_from_settings()
    assert locate("own.txt") == root / "own.txt"
    assert locate("link.txt") is None


async def test_files_are_only_read(files: StaticFiles) -> None:
    answer = await call(files, "/static/app.js", method="POST")
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")
    head = await call(files, "/static/app.js", method="HEAD")
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", "10")
