"""A .zip that is written while it is sent."""

import io
import zipfile
from pathlib import Path

from apps.providers.engine.packing import CHUNK, zip_chunks


def test_the_archive_is_whole_and_no_part_of_it_is_large(tmp_path: Path) -> None:
    large = tmp_path / "model.safetensors"
    large.write_bytes(bytes(range(256)) * 40_000)
    parts = list(zip_chunks([("m/README.md", b"card"), ("m/model.safetensors", large)]))
    assert max(map(len, parts)) < CHUNK + 1000
    with zipfile.ZipFile(io.BytesIO(b"".join(parts))) as packed:
        assert packed.testzip() is None
        assert packed.namelist() == ["m/README.md", "m/model.safetensors"]
        assert packed.read("m/model.safetensors") == large.read_bytes()


def test_the_same_files_give_the_same_bytes() -> None:
    files: list[tuple[str, Path | bytes]] = [("a", b"1"), ("b", b"2")]
    assert b"".join(zip_chunks(files)) == b"".join(zip_chunks(files))
