"""Sent files: their names, their quarantine, what they are by content, the scanner, and the confined process."""

import os
import shutil
import socket
import socketserver
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apps.core.uploads import quarantine
from apps.core.uploads.antivirus import scan_file
from apps.core.uploads.child import Limits, run_confined
from apps.core.uploads.content import refusal_of
from apps.core.uploads.names import MAX_LENGTH, display_name
from apps.core.uploads.quarantine import Incoming, TooLarge, forget_old, quarantined_delete, quarantined_path

EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"


@pytest.fixture(autouse=True)
def var_dir(settings: Any, tmp_path: Path) -> Path:
    settings.VAR_DIR = tmp_path / "var"
    return Path(settings.VAR_DIR)


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("data.csv", "data.csv"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\x\\data.csv", "data.csv"),
        ("a\u202ecsv.exe", "a csv.exe"),
        ("a\x00b\nc.csv", "a b c.csv"),
        ("..", "upload"),
        ("", "upload"),
        ("e\u0301.csv", "é.csv"),
    ],
)
def test_a_name_is_shown_without_paths_and_unseen_characters(sent: str, shown: str) -> None:
    assert display_name(sent) == shown


def test_a_long_name_keeps_its_ending() -> None:
    shown = display_name("x" * 500 + ".jsonl")

    assert len(shown) == MAX_LENGTH
    assert shown.endswith("….jsonl")


def test_a_file_that_grows_past_its_limit_leaves_nothing() -> None:
    incoming = Incoming(max_bytes=10)
    incoming.write(b"12345")

    with pytest.raises(TooLarge):
        incoming.write(b"678901")

    assert list(quarantine.quarantine_folder().iterdir()) == []


@pytest.mark.parametrize("name", ["../x", "a" * 31, "A" * 32, "", "/etc/passwd"])
def test_no_other_name_leads_to_a_path(name: str) -> None:
    with pytest.raises(ValueError, match="no name"):
        quarantined_path(name)


def test_what_is_older_than_a_week_is_deleted_with_its_folder() -> None:
    old, new = Incoming(max_bytes=10), Incoming(max_bytes=10)
    kept = [incoming.keep("x") for incoming in (old, new)]
    folder = quarantine.work_folder(kept[0].stored_name)
    week_ago = time.time() - quarantine.KEEP_SECONDS - 60
    for path in (quarantined_path(kept[0].stored_name), folder):
        os.utime(path, (week_ago, week_ago))

    assert forget_old() == 2
    assert [path.name for path in quarantine.quarantine_folder().iterdir()] == [kept[1].stored_name]
    quarantined_delete(kept[1].stored_name)
    assert list(quarantine.quarantine_folder().iterdir()) == []


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (b"PK\x03\x04" + b"\x00" * 26 + b"[Content_Types].xml" + b"xl/workbook.xml", "spreadsheet of Microsoft Excel"),
        (b"PK\x03\x04" + b"\x00" * 26 + b"bomb.txt", "ZIP archive"),
        (b"\x1f\x8b\x08\x00", "gzip archive"),
        (b"BZh91AY&SY\x00", "bzip2 archive"),
        (b"%PDF-1.7\n", "PDF document"),
        (b"\x7fELF\x02\x01", "program (ELF)"),
        (b"MZ\x90\x00\x03\x00", "program (Windows)"),
        (b"#!/bin/sh\n", "program (a script)"),
        (b"\x89PNG\r\n\x1a\n", "a PNG image"),
        (b"\xff\xd8\xff\xe0", "a JPEG image"),
        (b"PAR1\x15\x04\x00", "Parquet file"),
        (b"\x80\x04\x95", "a Python pickle"),
        (b"<!DOCTYPE html><html>", "a web page or XML"),
        (b"", "The file is empty"),
    ],
)
def test_what_is_no_table_is_refused_with_what_to_send(head: bytes, said: str) -> None:
    refused = refusal_of(head)

    assert refused is not None
    assert said in refused
    assert "CSV" in refused


@pytest.mark.parametrize(
    "head",
    [
        b"a,b\n1,2\n",
        b"MZ,BM\n1,2\n",
        b"ID3,value\n",
        b"RIFF\tx\n",
        b"\xef\xbb\xbfa;b\n",
        "a,b\n".encode("utf-16"),
        b"[{}]",
    ],
)
def test_a_table_may_begin_with_any_letters(head: bytes) -> None:
    assert refusal_of(head) is None


class _Scanner(socketserver.ThreadingUnixStreamServer):
    """Speaks as much of clamd's protocol as INSTREAM is, and knows one virus."""

    daemon_threads = True
    answer: str | None = None


class _Talk(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        assert self.rfile.readline() == b"nINSTREAM\n"
        content = b""
        while size := struct.unpack("!L", self.rfile.read(4))[0]:
            content += self.rfile.read(size)
        assert isinstance(self.server, _Scanner)
        verdict = self.server.answer or ("Eicar FOUND" if EICAR in content else "OK")
        self.wfile.write(f"stream: {verdict}\n".encode())


@pytest.fixture
def scanner(tmp_path: Path, settings: Any) -> Iterator[_Scanner]:
    # Not in tmp_path, whose length a socket's address may not have.
    path = f"/tmp/llmopt-clamd-{os.getpid()}.sock"  # noqa: S108
    with _Scanner(path, _Talk) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        settings.CLAMAV_SOCKET = path
        yield server
        server.shutdown()
    Path(path).unlink()


def _file(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "sent"
    path.write_bytes(content)
    return path


def test_a_clean_and_an_infected_file(scanner: _Scanner, tmp_path: Path) -> None:
    assert scan_file(_file(tmp_path, b"a,b\n" * 100_000)).state == "clean"
    found = scan_file(_file(tmp_path, EICAR))
    assert (found.state, found.detail) == ("infected", "Eicar")


def test_a_scanner_that_gives_no_verdict_is_down(scanner: _Scanner, tmp_path: Path) -> None:
    scanner.answer = "INSTREAM size limit exceeded. ERROR"

    assert scan_file(_file(tmp_path, b"a,b\n")).state == "down"


def test_a_scanner_that_is_not_there_is_down_and_none_is_off(tmp_path: Path, settings: Any) -> None:
    settings.CLAMAV_SOCKET = str(tmp_path / "nothing")
    assert scan_file(_file(tmp_path, EICAR)).state == "down"
    settings.CLAMAV_SOCKET = ""
    assert scan_file(_file(tmp_path, EICAR)).state == "off"
    settings.CLAMAV_REQUIRED = True
    assert scan_file(_file(tmp_path, EICAR)).state == "down"


@pytest.fixture
def clamd(tmp_path: Path, settings: Any) -> Iterator[None]:
    """The real clamd, with a signature of our own: no database has to be downloaded."""
    program = shutil.which("clamd") or shutil.which("clamd", path="/usr/sbin")
    if program is None:
        pytest.skip("needs clamd, which Debian's clamav-daemon brings")
    base = Path(f"/tmp/llmopt-real-clamd-{os.getpid()}")  # noqa: S108 - a socket's address must be short
    base.mkdir(mode=0o700)
    (base / "own.ndb").write_text(f"LLMOpt.Test.Eicar:0:0:{EICAR.hex()}\n")
    address = base / "clamd.sock"
    (base / "clamd.conf").write_text(
        f"LocalSocket {address}\nDatabaseDirectory {base}\nForeground yes\nUser {os.environ.get('USER', 'root')}\n"
    )
    process = subprocess.Popen([program, "-c", str(base / "clamd.conf")], stdout=subprocess.DEVNULL)
    try:
        _wait_for(address, process)
        settings.CLAMAV_SOCKET = str(address)
        yield
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(base)


def _wait_for(address: Path, process: "subprocess.Popen[bytes]") -> None:
    for _ in range(300):
        assert process.poll() is None, "clamd ended"
        with socket.socket(socket.AF_UNIX) as probe:
            if address.exists() and probe.connect_ex(str(address)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError("clamd did not listen")


def test_the_real_scanner_finds_eicar(clamd: None, tmp_path: Path) -> None:
    assert scan_file(_file(tmp_path, b"a,b\n" * 500_000)).state == "clean"
    found = scan_file(_file(tmp_path, EICAR))
    assert found.state == "infected"
    assert "Eicar" in found.detail


def _confined(tmp_path: Path, program: str, **limits: Any) -> Any:
    """Run a program of Python under limits, as a module that lies in a folder on the path."""
    (tmp_path / "hostile.py").write_text(program)
    return run_confined(
        ["timeit", "-n1", "-r1", f"import runpy; runpy.run_path({str(tmp_path / 'hostile.py')!r})"],
        folder=tmp_path,
        limits=Limits(**limits),
        beat=lambda: True,
    )


def test_a_confined_process_meets_its_limits(tmp_path: Path) -> None:
    memory = _confined(tmp_path, "x = bytearray(10**9)", memory_bytes=400 * 2**20)
    busy = _confined(tmp_path, "while True: pass", cpu_seconds=1)
    idle = _confined(tmp_path, "import time; time.sleep(60)", wall_seconds=1.0)
    large = _confined(tmp_path, f"open({str(tmp_path / 'big')!r}, 'wb').write(bytes(10**7))", file_bytes=10**6)
    well = _confined(tmp_path, "print('done')")

    assert [memory.how, busy.how, idle.how, large.how] == ["memory", "time", "time", "size"]
    assert (well.how, well.status) == ("exited", 0)


def test_a_confined_process_sees_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMOPT_SECRET_KEY", "a secret")
    monkeypatch.setenv("DATABASE_URL", "postgres://a:secret@b/c")

    ended = _confined(tmp_path, "import os; print(sorted(os.environ))")

    assert "SECRET" not in ended.output
    assert "DATABASE" not in ended.output
    assert "TMPDIR" in ended.output


def test_a_confined_process_ends_when_it_is_told_to(tmp_path: Path) -> None:
    ended = run_confined(
        ["timeit", "-n1", "-r1", "import time; time.sleep(60)"], folder=tmp_path, limits=Limits(), beat=lambda: False
    )

    assert ended.how == "stopped"
    assert ended.status == -9
