"""Which process dies when. Every kill is SIGKILL; everything random comes from a printed seed."""

import os
import random
import signal
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from apps.core.processes.tree import environment_of

# Points inside a piece of work at which the process that passes them dies (apps.core.faults).
FAULTS = ("reserve", "call", "settle", "claim", "spawn", "checkpoint", "register")
# What a command line holds, for the processes that are killed from outside.
VICTIMS = {
    "trainer": "apps.training.engine",
    "host": "training_host",
    "worker": "--cluster worker",
    "web": "manage.py web",
    "inference": "apps.providers.engine.inference",
}


@dataclass(frozen=True)
class Kill:
    """Kill one process of kind `victim`, `delay` seconds after one was first seen."""

    victim: str
    delay: float


@dataclass(frozen=True)
class Plan:
    """What happens in one run: at most one named point, and processes killed from outside."""

    seed: int
    fault: str
    kills: tuple[Kill, ...]

    def __str__(self) -> str:
        outside = ", ".join(f"{kill.victim} after {kill.delay:.2f} s" for kill in self.kills)
        return f"seed {self.seed}: inside {self.fault}; {outside}"


def plan_for(seed: int, number: int) -> Plan:
    """The plan of the `number`-th run. Every named point and every victim comes up in turn."""
    draw = random.Random(seed)
    name = FAULTS[number % len(FAULTS)]
    passing = {"reserve": 30, "call": 30, "settle": 30, "claim": 3, "checkpoint": 3}.get(name, 1)
    victims = list(VICTIMS)
    chosen = [victims[(2 * number + offset) % len(victims)] for offset in range(2)]
    return Plan(
        seed=seed,
        fault=f"{name}:{draw.randint(1, passing)}",
        kills=tuple(Kill(victim, draw.uniform(0.2, 8.0)) for victim in chosen),
    )


@dataclass
class Killer:
    """Watches the processes of one var directory and kills by plan, each victim once."""

    var_dir: Path
    plan: Plan
    done: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _watch(self) -> None:
        seen: dict[str, float] = {}
        waiting = list(self.plan.kills)
        while waiting and not self._stop.wait(0.1):
            now = time.monotonic()
            for kill in list(waiting):
                pids = self._pids(VICTIMS[kill.victim])
                if not pids:
                    continue
                if now - seen.setdefault(kill.victim, now) >= kill.delay and _kill(pids[-1]):
                    self.done.append(kill.victim)
                    waiting.remove(kill)

    def _pids(self, part: str) -> list[int]:
        """Processes of this var directory whose command line holds `part`, oldest first."""
        own = str(self.var_dir)
        found = []
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit():
                continue
            pid = int(folder.name)
            if part in _command(pid) and environment_of(pid).get("LLMOPT_VAR_DIR") == own:
                found.append(pid)
        return sorted(found)


def _command(pid: int) -> str:
    try:
        return (Path("/proc") / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    except OSError:
        return ""


def _kill(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True
