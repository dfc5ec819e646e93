"""A million chat rows (about 500 MB of JSONL) checked, deduplicated, split and stored, against the `datasets` library.

Ours is the intake engine as the product runs it, in a process of its own. The peer loads the same file with
`datasets.load_dataset("json")`, makes the checks of OpenAI's cookbook on each conversation, hashes each row, leaves
out the rows whose hash it has seen, and writes Parquet, all by the library's own `filter`, `map` and `to_parquet`.
What a loop written by hand over the loaded rows does is printed too. Each process may use one core.

The first pass is what is compared: the second (near-duplicates, personal data, the version's hash) has no peer.
Then pages and searches of the version are timed as a page's server part does them.
"""

import hashlib
import importlib.util
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter
from types import SimpleNamespace
from typing import Any

from benchmarks import figures, machine
from benchmarks.figures import Pair

ROWS, LOOKS = 1_000_000, 20
ENGINE = "apps.experiments.engine.intake"


def main() -> None:
    parser = figures.options(__doc__)
    parser.set_defaults(repeats=1)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--side", choices=("peer", "loop"), help="run a peer alone on FILE and print its figures")
    parser.add_argument("--file", type=Path)
    given = parser.parse_args()
    if given.side:
        print(json.dumps((peer if given.side == "peer" else loop)(given.file)))
        return
    if given.rows < 60_000:
        parser.error("below 60,000 rows a version is kept in memory, and pages and searches measure nothing")
    with tempfile.TemporaryDirectory(prefix="import-", dir=_scratch()) as folder:
        file = Path(folder) / "rows.jsonl"
        made = write_rows(file, given.rows)
        print(f"import_rows: {made:,} rows, {file.stat().st_size / 1e6:,.0f} MB of JSONL", flush=True)
        _compare(file, Path(folder), made, given.repeats)


def _scratch() -> Path:
    folder = machine.ROOT / "var"
    folder.mkdir(exist_ok=True)
    return folder


def _compare(file: Path, folder: Path, count: int, repeats: int) -> None:
    turns, ours, peers = figures.Turns(), list[dict[str, Any]](), list[dict[str, Any]]()

    def measure_ours() -> float:
        ours.append(staged(file, folder / "staged"))
        return float(ours[-1]["rates"]["first_pass"])

    def measure_peer() -> float:
        peers.append(_side("peer", file))
        return count / float(peers[-1]["seconds"])

    if importlib.util.find_spec("datasets") is None:
        print("  peer: not measured, `datasets` is not installed (pip install datasets)")
        for _ in range(repeats):
            measure_ours()
    else:
        pairs: list[Pair] = figures.repeated(lambda: turns.pair(measure_ours, measure_peer), repeats)
        figures.show("import_rows, first pass", pairs, unit="rows/s", ours="intake", peer="datasets")
        by_hand = count / float(_side("loop", file)["seconds"])
        print(f"  datasets with a loop by hand: {by_hand:,.0f} rows/s")
    last = ours[-1]
    first = figures.spread([run["rows_read"] / run["first_cpu"] for run in ours])
    second = figures.spread([run["accepted"] / run["second_cpu"] for run in ours])
    print(f"  second pass: {figures.spread([run['rates']['second_pass'] for run in ours])} rows/s")
    print(f"  for each second of processor time: first pass {first} rows, second pass {second}")
    print(f"  peak memory, both passes: {figures.spread([run['peak_mib'] for run in ours])} MiB")
    print(f"  peak memory after the first pass: {figures.spread([run['first_peak_mib'] for run in ours])} MiB")
    if peers:
        print(f"  peak memory of the peer: {figures.spread([run['peak_mib'] for run in peers])} MiB")
    left_out = ", ".join(f"{reason} {n:,}" for reason, n in last["left_out"].items())
    groups = f"{last['near_duplicate_groups']:,}"
    print(f"  {last['accepted']:,} accepted; left out: {left_out}; near-duplicate groups {groups}")
    look(folder / "staged", last)


# --- the file


def write_rows(path: Path, count: int) -> int:
    """Conversations of about 500 bytes; one in a thousand stood before, one in a thousand almost."""
    import msgspec

    draw = random.Random(5)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(draw.choices(letters, k=draw.randint(2, 9))) for _ in range(20_000)]
    encode, question, answer = msgspec.json.Encoder().encode, "", ""
    with path.open("wb") as file:
        for number in range(count):
            if number % 1000 == 7:
                question = f"{question}."
            elif number % 1000 != 3:
                question, answer = " ".join(draw.choices(words, k=38)), " ".join(draw.choices(words, k=20))
            turns = (("system", "You answer."), ("user", question), ("assistant", answer))
            file.write(encode({"messages": [{"role": role, "content": content} for role, content in turns]}) + b"\n")
    return count


# --- both sides


def staged(file: Path, folder: Path) -> dict[str, Any]:
    """The report of the intake, with its peak memory."""
    folder.mkdir(exist_ok=True)
    limits = {"max_bytes": 2**40, "max_rows": 2**31}
    spec = {"file": str(file), "limits": limits, "mapping": {"shape": "chat"}, "split_seed": 1}
    (folder / "spec.json").write_text(json.dumps(spec))
    usage = _child([sys.executable, "-c", _MEASURED, "stage", str(folder)])
    report: dict[str, Any] = json.loads((folder / "report.json").read_bytes())
    if report["refused"]:
        raise RuntimeError(report["refused"])
    return {**report, **usage}


# The engine in the process that measures itself: peak memory and processor seconds once the first pass is over, and at
# the end. The time that the file takes to be recognised belongs to the first pass.
_MEASURED = """
import gc, json, resource, sys, time
from apps.experiments.engine.intake import __main__, staging
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
first, opened = staging._first_pass, staging.open_source
found = {}
def opening(*args):
    found["started"] = time.process_time()
    return opened(*args)
def measured(*args):
    lines = first(*args)
    found["first_cpu"] = time.process_time() - found["started"]
    found["first_peak_mib"] = peak()
    return lines
staging._first_pass, staging.open_source = measured, opening
gc.disable()
if __main__.main(sys.argv[1:]):
    sys.exit(1)
second = time.process_time() - found.pop("started") - found["first_cpu"]
print(json.dumps({**found, "second_cpu": second, "peak_mib": peak()}))
"""


def peer(file: Path) -> dict[str, Any]:
    """Load, check, hash, leave out, store, as the library's documentation shows it."""
    import datasets

    with tempfile.TemporaryDirectory(dir=file.parent) as cache:
        started = perf_counter()
        rows = datasets.load_dataset("json", data_files=str(file), split="train", cache_dir=cache)
        seen: set[str] = set()
        hashed = rows.filter(lambda row: not _has_errors(row)).map(lambda row: {"id": _digest(row)})
        hashed.filter(lambda row: _is_new(row["id"], seen)).to_parquet(Path(cache) / "rows.parquet")
        seconds = perf_counter() - started
    return {"seconds": seconds, "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def _digest(row: dict[str, Any]) -> str:
    return hashlib.blake2b(json.dumps(row["messages"]).encode(), digest_size=16).hexdigest()


def _is_new(id_: str, seen: set[str]) -> bool:
    new = id_ not in seen
    seen.add(id_)
    return new


def loop(file: Path) -> dict[str, Any]:
    """The same in one loop over the loaded rows, with Parquet written in batches."""
    import datasets
    import pyarrow as pa
    import pyarrow.parquet as pq

    with tempfile.TemporaryDirectory(dir=file.parent) as cache:
        started = perf_counter()
        rows = datasets.load_dataset("json", data_files=str(file), split="train", cache_dir=cache)
        seen: set[str] = set()
        kept: list[dict[str, Any]] = []
        writer = None
        for row in rows:
            id_ = _digest(row)
            if _has_errors(row) or not _is_new(id_, seen):
                continue
            kept.append({"id": id_, "messages": row["messages"]})
            if len(kept) == 20_000:
                table = pa.Table.from_pylist(kept)
                writer = writer or pq.ParquetWriter(Path(cache) / "rows.parquet", table.schema, compression="zstd")
                writer.write_table(table)
                kept = []
        if kept:
            table = pa.Table.from_pylist(kept)
            writer = writer or pq.ParquetWriter(Path(cache) / "rows.parquet", table.schema, compression="zstd")
            writer.write_table(table)
        if writer:
            writer.close()
        seconds = perf_counter() - started
    return {"seconds": seconds, "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def _side(name: str, file: Path) -> dict[str, Any]:
    return _child([sys.executable, "-m", "benchmarks.import_rows", "--side", name, "--file", str(file)])


def _has_errors(row: dict[str, Any]) -> bool:
    """The format checks of OpenAI's cookbook, "Data preparation and analysis for chat model fine-tuning"."""
    messages = row.get("messages")
    if not isinstance(row, dict) or not messages:
        return True
    for message in messages:
        if "role" not in message or "content" not in message:
            return True
        if any(name not in ("role", "content", "name", "function_call", "weight") for name in message):
            return True
        if message.get("role") not in ("system", "user", "assistant", "function"):
            return True
        if not message.get("content") or not isinstance(message["content"], str):
            return True
    return not any(message["role"] == "assistant" for message in messages)


def _child(command: list[str]) -> dict[str, Any]:
    """What a process prints last, run on one core."""
    quiet = {"HF_DATASETS_DISABLE_PROGRESS_BARS": "1", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    one = min(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None

    def alone() -> None:
        if one is not None:
            os.sched_setaffinity(0, {one})

    answer = subprocess.run(
        command, cwd=machine.ROOT, env={**os.environ, **quiet}, stdout=subprocess.PIPE, check=True, preexec_fn=alone
    )
    found: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return found


# --- pages and searches


def look(folder: Path, report: dict[str, Any]) -> None:
    """Pages and searches through the module that the pages call, on what was staged."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llmopt.settings.dev")
    # What a web process has loaded before it is asked for a page.
    import llmopt.asgi  # noqa: F401
    from apps.experiments import rows

    counts = {f"{split}_count": count for split, count in report["splits"].items()}
    version: Any = SimpleNamespace(
        uid="benchmark",
        artifact="rows.parquet",
        row_count=report["accepted"],
        content_hash=report["content_hash"],
        **counts,
    )
    # The version stands in no database, and its file in no storage.
    rows.open_file = lambda version: _parquet(folder)
    rows.local_path = lambda version: folder / "rows.parquet"
    count = report["splits"]["train"]
    draw = random.Random(7)
    first = figures.seconds_of(lambda: rows.page(version, split="train", offset=0, limit=50))
    pages = [
        _seconds(lambda: rows.page(version, split="train", offset=draw.randrange(count), limit=50))
        for _ in range(LOOKS)
    ]
    shown = rows.page(version, split="train", offset=count // 2, limit=50)[0]
    wanted = [shown[number].input[10:40] for number in range(10)]
    # Absent, frequent, and of a few dozen matches all over the file.
    wanted += ["nowhere to be found", "zqx zqx", "the", shown[0].input.split()[5]]
    wanted += [shown[number].input[10:16] for number in range(10)]
    searches = [_seconds(lambda: rows.search(version, split="train", text=text, offset=0, limit=50)) for text in wanted]  # noqa: B023
    found = [_seconds(lambda: rows.row_by_id(version, row.id)) for row in shown[:5]]  # noqa: B023
    _print_times("a page of 50 rows", pages, f"; the first {1000 * first:.0f}")
    _print_times("a search", searches)
    _print_times("a row by its id", found)


def _seconds(work: Callable[[], object]) -> float:
    return figures.seconds_of(work)


def _print_times(what: str, seconds: list[float], more: str = "") -> None:
    millis = sorted(1000 * value for value in seconds)
    print(f"  {what}: median {median(millis):.0f} ms, slowest {millis[-1]:.0f} ms of {len(millis)}{more}", flush=True)


def _parquet(folder: Path) -> Any:
    import pyarrow.parquet as pq

    return pq.ParquetFile(folder / "rows.parquet")


if __name__ == "__main__":
    main()
