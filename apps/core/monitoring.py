"""Memory of the whole installation: the sum of PSS over every process of a run, and its peak.

PSS divides each shared page by the number of processes that map it, so forked workers are not counted many times over.
"""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from apps.core.processes.tree import RUN_VARIABLE, ProcessKey, environment_of, process_key

_MIB = 1024.0
_PROC = Path("/proc")


@dataclass(frozen=True)
class MemorySample:
    """`processes` maps a process's pid and what it runs to its PSS in MiB."""

    total_mib: float
    processes: dict[str, float]


@dataclass
class MemorySampler:
    """Adds up the processes started with LLMOPT_RUN_ID=`run_id`, and `also` (the command that started them)."""

    run_id: str
    also: tuple[int, ...] = ()
    _known: dict[int, tuple[ProcessKey, str | None]] = field(default_factory=dict)

    def sample(self) -> MemorySample:
        """One look at every process: under a millisecond for each small one, some for one of gigabytes."""
        processes, seen = {}, set()
        for entry in os.scandir(_PROC):
            if not entry.name.isdigit():
                continue
            pid = int(entry.name)
            seen.add(pid)
            name = self._name_if_ours(pid)
            pss = pss_mib(pid) if name is not None else None
            if pss is not None:
                processes[f"{pid} {name}"] = pss
        for pid in self._known.keys() - seen:
            del self._known[pid]
        return MemorySample(sum(processes.values()), processes)

    def _name_if_ours(self, pid: int) -> str | None:
        """What the process runs, or None for a stranger. Remembered, because a process's environment never changes."""
        key, known = process_key(pid), self._known.get(pid)
        if key is None:
            return None
        if known is None or known[0] != key:
            ours = pid in self.also or environment_of(pid).get(RUN_VARIABLE) == self.run_id
            known = (key, _what_it_runs(pid) if ours else None)
            # A process that has just forked still shows its parent's command; look again until it has become something.
            if known[1] != "":
                self._known[pid] = known
        return known[1]


def pss_mib(pid: int) -> float | None:
    """Proportional set size in MiB; None when the process is gone or not ours to read."""
    try:
        text = (_PROC / str(pid) / "smaps_rollup").read_text()
    except OSError:
        return None
    for line in text.splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / _MIB
    return None


def record_peak(path: Path, run_id: str, sample: MemorySample) -> float:
    """Keep the highest total of this run in `path`, replaced in one step. Returns the peak in MiB."""
    before = read_peak(path, run_id)
    if before is not None and before >= sample.total_mib:
        return before
    temporary = path.with_suffix(f".{os.getpid()}")
    content = {"run_id": run_id, "peak_mib": sample.total_mib, "processes": sample.processes}
    temporary.write_text(json.dumps(content))
    temporary.replace(path)
    return sample.total_mib


def read_peak(path: Path, run_id: str | None = None) -> float | None:
    """The recorded peak in MiB; None before the first sample, or when it belongs to another run than `run_id`."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    if run_id is not None and content["run_id"] != run_id:
        return None
    return float(content["peak_mib"])


def _what_it_runs(pid: int) -> str:
    """`manage.py worker --cluster worker`: the command without the interpreter and without paths."""
    try:
        arguments = (_PROC / str(pid) / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return ""
    words = [argument.decode("utf-8", "replace") for argument in arguments if argument]
    shown = [os.path.basename(word) for word in words[1:] if not word.startswith("-m")]
    return " ".join(shown[:4])
