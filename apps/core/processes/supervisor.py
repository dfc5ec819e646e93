"""Starting, stopping and describing an embedded installation. One at a time for each var directory."""

import fcntl
import io
import json
import logging
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import xmlrpc.client
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import urlsplit

from django.conf import settings
from django.core.management import call_command, get_commands
from django.utils.translation import gettext as _

from apps.core.processes import rpc, tree
from apps.core.processes.config import Places, configuration_text, programs
from apps.core.processes.parent import PARENT_VARIABLE

log = logging.getLogger(__name__)

STARTED_VARIABLE = "LLMOPT_STARTED_AT"
SOCKET_VARIABLE = "LLMOPT_SUPERVISOR_SOCKET"
# Stopped in this order before training is asked to save: none of them may start or resume a training meanwhile.
_STOP_FIRST = ("watchdog", "housekeeping", "worker")
_SHUTDOWN_SECONDS = 30.0
# What an earlier run left may still be letting go of its port.
_PORT_SECONDS = 3.0


@dataclass(frozen=True)
class State:
    """What one start left for everyone else, in var/run/state.json."""

    run_id: str
    host: str
    port: int
    pid: int
    started_at: float
    inference_port: int

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"


@dataclass(frozen=True)
class ProgramStatus:
    name: str
    state: str
    pid: int
    uptime_seconds: int
    description: str


@dataclass
class _Running:
    """What this process holds while it is the one that started everything."""

    state: State
    daemon: "subprocess.Popen[bytes]"
    lock: TextIO
    stopped: bool = field(default=False)


class AlreadyRunning(RuntimeError):
    """Another process supervises this var directory."""

    def __init__(self, state: State | None) -> None:
        self.state = state
        said = _("LLMOpt is already running. Print a sign-in link with: make login")
        if state:
            said = _("LLMOpt is already running at %(url)s. Print a sign-in link with: make login") % {"url": state.url}
        super().__init__(said)


class StartFailed(RuntimeError):
    """supervisord, or one of its programs, did not come up."""


_running: _Running | None = None


def places() -> Places:
    return Places(Path(settings.VAR_DIR), Path(settings.BASE_DIR))


def start(*, port: int = 8000, host: str = "127.0.0.1", reload: bool = False) -> State:
    """Start supervisord and its programs; everything ends when this process ends.

    Call it from the main thread: the kernel ties children to the thread that started them.
    Raises AlreadyRunning, StartFailed.
    """
    global _running
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("start() must be called from the main thread: its processes end with the calling thread.")
    here = places()
    for folder in (here.run, here.logs, here.socket.parent):
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
    lock = _take_lock(here)
    try:
        state = _new_state(here, host=host, port=port)
    except StartFailed:
        lock.close()
        raise
    _write_token(Path(settings.INFERENCE_TOKEN_FILE))
    supervised = programs(
        here,
        host=host,
        port=port,
        inference_port=state.inference_port,
        token_file=Path(settings.INFERENCE_TOKEN_FILE),
        reload=reload,
    )
    here.configuration.write_text(configuration_text(here, supervised))
    daemon = _start_daemon(here, state, lock)
    _running = _Running(state, daemon, lock)
    return state


def wait_ready(state: State, *, seconds: float = 60.0, wanted: Callable[[], bool] = lambda: True) -> float:
    """Wait until /readyz says yes. Returns the seconds since start; StartFailed names what is missing.

    `wanted` is asked meanwhile: its no ends the wait with StartFailed.
    """
    deadline, answer = time.monotonic() + seconds, _("no answer yet")
    while time.monotonic() < deadline:
        if not wanted():
            raise StartFailed(_("Stopped before everything was ready; the same command goes on from here."))
        if _running is not None and _running.daemon.poll() is not None:
            raise StartFailed(_("supervisord ended; see %(log)s") % {"log": places().logs / "supervisord.log"})
        ready, answer = _ask_ready(state)
        if ready:
            return time.time() - state.started_at
        time.sleep(0.1)
    raise StartFailed(
        _("Not ready after %(seconds)d s: %(answer)s. The logs are in %(logs)s")
        % {"seconds": seconds, "answer": answer, "logs": places().logs}
    )


def stop() -> list[str]:
    """Ask training to save and stop, end everything in order, kill what is left. Returns the leftovers' commands."""
    here = places()
    state = read_state(here)
    if state is None:
        return []
    _stop_programs(here)
    _stop_training()
    _stop_daemon(here)
    leftovers = tree.kill_all(tree.processes_of(state.run_id))
    here.state.unlink(missing_ok=True)
    global _running
    if _running is not None:
        _running.stopped = True
        _running.lock.close()
        _running = None
    return [found.command for found in leftovers]


def status() -> list[ProgramStatus]:
    """Each program's state as supervisord sees it; empty when nothing runs."""
    try:
        answers: list[dict[str, Any]] = rpc.server(places().socket).getAllProcessInfo()
    except OSError:
        return []
    return [
        ProgramStatus(
            name=answer["name"],
            state=answer["statename"].lower(),
            pid=answer["pid"],
            uptime_seconds=max(0, answer["now"] - answer["start"]) if answer["pid"] else 0,
            description=answer["description"],
        )
        for answer in answers
    ]


def given_up() -> list[str]:
    """Programs that ended again and again, so that supervisord no longer starts them."""
    return [program.name for program in status() if program.state == "fatal"]


def daemon_alive() -> bool:
    """Whether the supervisord that this process started still runs."""
    return _running is not None and _running.daemon.poll() is None


def read_state(here: Places | None = None) -> State | None:
    """What the last start wrote; None after a clean stop."""
    try:
        return State(**json.loads((here or places()).state.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def is_running() -> bool:
    """Whether the process of the last start still lives: one that was killed leaves its state behind."""
    state = read_state()
    return state is not None and tree.process_key(state.pid) is not None


def _take_lock(here: Places) -> TextIO:
    """AlreadyRunning while another start lives. What a killed one left holds the lock until it has stopped in order."""
    lock = here.lock.open("a+")
    deadline = time.monotonic() + _SHUTDOWN_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            state = read_state(here)
            starter_is_gone = state is not None and tree.process_key(state.pid) is None
            if not starter_is_gone or time.monotonic() >= deadline:
                lock.close()
                raise AlreadyRunning(state) from None
            time.sleep(0.1)
        else:
            return lock


def _new_state(here: Places, *, host: str, port: int) -> State:
    """A new run id, unless training of the last run is still going: then the same, so that it stays ours."""
    before = read_state(here)
    survivors = tree.processes_of(before.run_id) if before else []
    training = [found for found in survivors if found.role == tree.SURVIVING_ROLE]
    orphans = [found for found in survivors if found.role != tree.SURVIVING_ROLE]
    if orphans:
        log.warning(
            "ending processes that an earlier run left", extra={"commands": [found.command for found in orphans]}
        )
        tree.kill_all(orphans)
    _wait_for_port(host, port)
    if before is None or not training:
        here.peak.unlink(missing_ok=True)
    state = State(
        run_id=before.run_id if before and training else secrets.token_hex(8),
        host=host,
        port=port,
        pid=os.getpid(),
        started_at=time.time(),
        inference_port=_inference_port(),
    )
    temporary = here.state.with_suffix(".new")
    temporary.write_text(json.dumps(asdict(state)))
    temporary.replace(here.state)
    return state


def _wait_for_port(host: str, port: int) -> None:
    """The web process could not listen, and whoever has the port would answer /readyz in its place."""
    deadline = time.monotonic() + _PORT_SECONDS
    while problem := _port_problem(host, port):
        if time.monotonic() >= deadline:
            raise StartFailed(
                _("Nothing can listen on %(host)s, port %(port)d: %(problem)s. Set LLMOPT_PORT to a free port.")
                % {"host": host, "port": port, "problem": problem}
            )
        time.sleep(0.1)


def _port_problem(host: str, port: int) -> str:
    """Why no server could listen there now; empty when one could."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        # A server may start over the remains of closed connections; without this the probe would refuse.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.strerror or str(error)
    return ""


def _inference_port() -> int:
    """The configured port of the inference process, or any free one when that is taken."""
    wanted = urlsplit(settings.INFERENCE_URL).port or 8710
    for candidate in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", candidate))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise StartFailed(_("No free port for the inference process."))


def _write_token(path: Path) -> None:
    """Whole or not at all: a kill in between must not leave an empty token, which inference would refuse for ever."""
    if path.exists():
        return
    partial = path.with_suffix(".new")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_urlsafe(32))
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def _start_daemon(here: Places, state: State, lock: TextIO) -> "subprocess.Popen[bytes]":
    here.socket.unlink(missing_ok=True)
    environment = {
        **os.environ,
        tree.RUN_VARIABLE: state.run_id,
        PARENT_VARIABLE: str(os.getpid()),
        STARTED_VARIABLE: repr(state.started_at),
        SOCKET_VARIABLE: str(here.socket),
        "LLMOPT_VAR_DIR": str(here.var_dir),
        "LLMOPT_INFERENCE_URL": f"http://127.0.0.1:{state.inference_port}/v1",
        "LLMOPT_EMBEDDED": "1",
        "PYTHONUNBUFFERED": "1",
    }
    # supervisord holds the lock too: it stays taken until both it and this process are gone.
    return subprocess.Popen(
        [sys.executable, "-m", "apps.core.processes.daemon", str(here.configuration)],
        cwd=here.base_dir,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=(here.logs / "supervisord.out").open("wb"),
        stderr=subprocess.STDOUT,
        pass_fds=(lock.fileno(),),
        # Out of the terminal's process group, so that Ctrl-C reaches only the process that knows how to stop in order.
        process_group=0,
    )


def _ask_ready(state: State) -> tuple[bool, str]:
    request = urllib.request.Request(f"{state.url}/readyz")  # noqa: S310  # our own address
    try:
        with urllib.request.urlopen(request, timeout=5) as response:  # noqa: S310  # as above
            return response.status == 200, ""
    except urllib.error.HTTPError as error:
        return False, error.read().decode("utf-8", "replace")
    except OSError as error:
        return False, str(error)


def _stop_programs(here: Places) -> None:
    """Stop them side by side, and wait until supervisord has seen each of them end."""
    asked = set()
    for name in _STOP_FIRST:
        try:
            rpc.server(here.socket).stopProcess(name, False)
            asked.add(name)
        except (OSError, xmlrpc.client.Fault) as error:
            log.info("program was not stopped", extra={"program": name, "reason": str(error)})
    deadline = time.monotonic() + _SHUTDOWN_SECONDS
    while time.monotonic() < deadline:
        if not any(program.pid for program in status() if program.name in asked):
            return
        time.sleep(0.1)


def _stop_training() -> None:
    """Training outlives every process here, except a stop that the person asked for."""
    if "training_stop_all" not in get_commands():
        return
    try:
        call_command("training_stop_all", stdout=io.StringIO())
    except Exception:
        log.exception("training was not asked to save; it is ended with the other leftovers")


def _stop_daemon(here: Places) -> None:
    try:
        rpc.server(here.socket).shutdown()
    except (OSError, xmlrpc.client.Fault):
        log.info("supervisord no longer answers")
    if _running is None:
        _wait_for_lock(here)
        return
    try:
        _running.daemon.wait(_SHUTDOWN_SECONDS)
    except subprocess.TimeoutExpired:
        log.warning("supervisord did not end in time and is killed")
        _running.daemon.kill()
        _running.daemon.wait()


def _wait_for_lock(here: Places) -> None:
    """A stop from another terminal: the one who started it lets go of the lock when supervisord has ended."""
    deadline = time.monotonic() + _SHUTDOWN_SECONDS
    while here.socket.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
