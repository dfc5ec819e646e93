"""Which process dies when. Every kill is SIGKILL; everything random comes from a printed seed."""

import random
import signal
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from apps.core.processes.tree import Found, ProcessKey, process_key, processes_with, send_signal

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
LOOK_SECONDS = 0.1
# What a killed process needs to be gone.
GONE_SECONDS = 5.0


@dataclass(frozen=True)
class Kill:
    """Kill one process of kind `victim` at this share of the time that the kind lived in the uninterrupted run.

    The time runs from when one was first seen. A kind that is away at that moment is waited for.
    """

    victim: str
    share: float


@dataclass(frozen=True)
class Plan:
    """What happens in one run: at most one named point, and processes killed from outside."""

    seed: int
    fault: str
    kills: tuple[Kill, ...]

    def __str__(self) -> str:
        outside = ", ".join(f"{kill.victim} after {kill.share:.2f} of its time" for kill in self.kills)
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
        # Early enough that a run which goes faster than the uninterrupted one still has the victim.
        kills=tuple(Kill(victim, draw.uniform(0.05, 0.6)) for victim in chosen),
    )


def processes_of(var_dir: Path) -> list[Found]:
    """Every live process that was started for this folder, oldest first."""
    return [one for one in processes_with("LLMOPT_VAR_DIR", str(var_dir)) if one.command]


@dataclass
class Killer:
    """Watches the processes of one var directory, kills each victim once, and notes how long each kind lived."""

    var_dir: Path
    kills: tuple[Kill, ...] = ()
    lifetimes: Mapping[str, float] = field(default_factory=dict)
    # What is certainly dead by our hand, and when (seconds since the epoch).
    done: list[str] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    _first: dict[str, float] = field(default_factory=dict)
    _last: dict[str, float] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def seen(self) -> dict[str, float]:
        """Kind → seconds from when one was first seen to when one was last seen."""
        return {kind: self._last[kind] - first for kind, first in self._first.items()}

    def _watch(self) -> None:
        waiting = list(self.kills)
        while not self._stop.wait(LOOK_SECONDS):
            found = processes_of(self.var_dir)
            now = time.monotonic()
            youngest = {kind: one.key for kind, part in VICTIMS.items() for one in found if part in one.command}
            for kind in youngest:
                self._first.setdefault(kind, now)
                self._last[kind] = now
            for kill in list(waiting):
                if kill.victim in youngest and self._is_due(kill, now):
                    at = time.time()
                    if killed(youngest[kill.victim]):
                        self.done.append(kill.victim)
                        self.times.append(at)
                        waiting.remove(kill)

    def _is_due(self, kill: Kill, now: float) -> bool:
        return now - self._first[kill.victim] >= kill.share * self.lifetimes.get(kill.victim, 0.0)


def killed(key: ProcessKey) -> bool:
    """Kill exactly this process. True once it is gone; False if it had ended before."""
    if not send_signal(key, signal.SIGKILL):
        return False
    deadline = time.monotonic() + GONE_SECONDS
    while process_key(key.pid) == key:
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.01)
    return True
