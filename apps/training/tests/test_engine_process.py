from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from apps.training.engine.events import EventLog, Log, Progress, read_events
from apps.training.engine.report import Reporter
from apps.training.tests.tiny_models import (
    SPAWNER,
    build_model,
    in_process,
    row,
    run_engine,
    train_until_killed,
    write_rows,
    write_run,
)

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_model(tmp_path_factory.mktemp("base"), "llama")


def wait_for(condition: object, *, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():  # type: ignore[operator]  # a callable without arguments
            return
        time.sleep(0.02)
    raise AssertionError("the condition never came true")


def steps_done(run_dir: Path) -> int:
    done = [
        e["done"] for e in read_events(run_dir / "events.jsonl") if e["type"] == "progress" and e["loss"] is not None
    ]
    return max(done, default=0)


def test_a_pause_exits_10_and_a_start_without_it_goes_on(base: Path, tmp_path: Path) -> None:
    run_dir = write_run(tmp_path / "run", base, certify_rows=1)
    (run_dir / "control").write_text("pause\n", encoding="utf-8")
    assert in_process(run_engine, run_dir) == 10
    stopped = read_events(run_dir / "events.jsonl")[-1]
    assert (stopped["type"], stopped["reason"], stopped["step"], stopped["total"]) == ("stopped", "pause", 0, 10)
    (run_dir / "control").unlink()
    assert in_process(run_engine, run_dir) == 0
    assert (run_dir / "result" / "certificate.json").is_file()


def run_engine_on_cores(run_dir: Path, cores: set[int]) -> None:
    os.sched_setaffinity(0, cores)
    run_engine(run_dir)


def test_a_resumed_run_keeps_its_threads_and_says_what_has_changed(base: Path, tmp_path: Path) -> None:
    cores = sorted(os.sched_getaffinity(0))
    assert len(cores) > 1, "this test needs a second core"
    run_dir = write_run(tmp_path / "run", base, certify_rows=1, threads=0)
    (run_dir / "control").write_text("pause\n", encoding="utf-8")
    assert in_process(run_engine_on_cores, run_dir, set(cores[:2])) == 10
    before = read_events(run_dir / "events.jsonl")
    assert not [event for event in before if event.get("level") == "warning"]
    (run_dir / "control").unlink()
    chosen = json.loads((run_dir / "chosen.json").read_text(encoding="utf-8"))
    assert (chosen["threads"], chosen["cores"], chosen["precision"]) == (2, 2, "float32")
    (run_dir / "chosen.json").write_text(json.dumps({**chosen, "versions": {**chosen["versions"], "torch": "0.1"}}))

    assert in_process(run_engine_on_cores, run_dir, {cores[0]}) == 0
    after = read_events(run_dir / "events.jsonl")[len(before) :]
    assert [event["threads"] for event in after if event["type"] == "started"] == [2]
    libraries, fewer = [event["text"] for event in after if event.get("level") == "warning"]
    assert f"torch 0.1, now {chosen['versions']['torch']}." in libraries
    assert "numpy" not in libraries
    assert fewer == "This run keeps its 2 threads and goes on slower. Usable cores: 2 at its first start, now 1."


def test_a_start_names_the_state_that_it_goes_on_from_and_not_a_damaged_one(base: Path, tmp_path: Path) -> None:
    run_dir = write_run(tmp_path / "run", base, certify_rows=1)
    assert in_process(train_until_killed, run_dir, 7) == -signal.SIGKILL
    newest = max((run_dir / "checkpoints").glob("step-*"))
    assert newest.name == "step-00000006"
    (newest / "weights.safetensors").write_bytes(b"torn")
    assert in_process(run_engine, run_dir) == 0
    events = read_events(run_dir / "events.jsonl")
    (started,) = [event for event in events if event["type"] == "started"]
    assert started["resumed_from_step"] == 3
    assert any("Going on from step 3 of 10" in event.get("text", "") for event in events)


def test_a_cancel_exits_11(base: Path, tmp_path: Path) -> None:
    run_dir = write_run(tmp_path / "run", base)
    (run_dir / "control").write_text("cancel", encoding="utf-8")
    assert in_process(run_engine, run_dir) == 11
    assert read_events(run_dir / "events.jsonl")[-1]["reason"] == "cancel"


def test_sigterm_saves_and_pauses(base: Path, tmp_path: Path) -> None:
    run_dir = write_run(tmp_path / "run", base, epochs=100000)
    process = SPAWNER.Process(target=run_engine, args=(run_dir,))
    process.start()
    wait_for(lambda: steps_done(run_dir) > 0)
    os.kill(process.pid or 0, signal.SIGTERM)
    process.join(20)
    assert process.exitcode == 10
    stopped = read_events(run_dir / "events.jsonl")[-1]
    assert stopped["reason"] == "pause"
    assert (run_dir / "checkpoints" / f"step-{stopped['step']:08d}" / "manifest.json").is_file()


def test_a_refused_row_exits_1_with_a_sentence(base: Path, tmp_path: Path) -> None:
    run_dir = write_run(tmp_path / "run", base)
    write_rows(run_dir / "train.jsonl", [row(1), row(2, answer="")])
    assert in_process(run_engine, run_dir) == 1
    error = read_events(run_dir / "events.jsonl")[-1]
    assert (error["type"], error["code"], error["row"]) == ("error", "rows", "r2")
    assert error["text"] == 'Training row "r2" cannot be rendered: The answer is empty: there is nothing to learn from.'


def test_a_second_engine_on_the_same_directory_leaves_everything_alone(base: Path, tmp_path: Path) -> None:
    run_dir = write_run(tmp_path / "run", base)
    with (run_dir / "engine.lock").open("w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert in_process(run_engine, run_dir) == 1
    assert not (run_dir / "events.jsonl").exists()


def test_the_engine_dies_with_its_parent(base: Path, tmp_path: Path) -> None:
    run_dir = write_run(tmp_path / "run", base, epochs=100000)
    launcher = (
        "import subprocess, sys, time, os;"
        "p = subprocess.Popen([sys.executable, '-m', 'apps.training.engine', sys.argv[1],"
        " '--parent-death', str(os.getpid())]); print(p.pid, flush=True); time.sleep(100)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", launcher, str(run_dir)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert parent.stdout is not None
    engine = int(parent.stdout.readline())
    wait_for(lambda: (run_dir / "events.jsonl").exists())
    parent.kill()
    parent.wait()
    wait_for(lambda: not _alive(engine), seconds=10)
    assert not (run_dir / "result").exists()


def test_an_orphan_does_not_start(base: Path, tmp_path: Path) -> None:
    run_dir = write_run(tmp_path / "run", base)
    done = subprocess.run(
        [sys.executable, "-m", "apps.training.engine", str(run_dir), "--parent-death", "1"], cwd=ROOT, check=False
    )
    assert done.returncode == 1
    assert not (run_dir / "events.jsonl").exists()


def test_a_torn_last_line_is_cut_off_and_the_numbers_go_on(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    log = EventLog(path, now=lambda: datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC))
    log.emit(Log("info", "one"))
    log.emit(Log("info", "zwei ü"))
    log.close()
    whole = path.read_bytes()
    with path.open("ab") as file:
        file.write(b'{"seq": 3, "at": "2026-01-02T03:04:05.678Z", "type": "log", "te')
    assert [event["seq"] for event in read_events(path)] == [1, 2]
    log = EventLog(path, now=lambda: datetime(2026, 1, 2, tzinfo=UTC))
    assert path.read_bytes() == whole
    log.emit(Log("warning", "three"))
    log.close()
    events = read_events(path)
    assert [(event["seq"], event["text"]) for event in events] == [(1, "one"), (2, "zwei ü"), (3, "three")]
    assert events[0] == {"seq": 1, "at": "2026-01-02T03:04:05.678Z", "type": "log", "level": "info", "text": "one"}


@pytest.mark.parametrize("content", [b"", b"half a li", b"\x00\x00\n"])
def test_a_file_without_a_whole_event_starts_at_one(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(content)
    log = EventLog(path)
    log.emit(Log("info", "one"))
    log.close()
    assert [event["seq"] for event in read_events(path)] == [1]


def test_phases_inside_a_phase_are_not_counted_twice(tmp_path: Path) -> None:
    times = {"value": 0.0}
    log = EventLog(tmp_path / "events.jsonl")
    report = Reporter(log, clock=lambda: times["value"])
    with report.phase("train"):
        times["value"] = 2.0
        with report.phase("sample"):
            times["value"] = 5.0
        times["value"] = 6.5
    report.close()
    log.close()
    assert report.phase_seconds == {"sample": 3.0, "train": 3.5}
    ended = [e for e in read_events(tmp_path / "events.jsonl") if e["type"] == "phase" and e["state"] == "finished"]
    assert [(event["phase"], event["seconds"]) for event in ended] == [("sample", 3.0), ("train", 3.5)]


def test_the_first_phase_begins_with_the_process(tmp_path: Path) -> None:
    times = {"value": 1.0}
    log = EventLog(tmp_path / "events.jsonl")
    report = Reporter(log, clock=lambda: times["value"])
    times["value"] = 5.0
    with report.phase("load"):
        times["value"] = 7.0
    with report.phase("train"):
        times["value"] = 8.0
    report.close()
    log.close()
    assert report.phase_seconds == {"load": 6.0, "train": 1.0}


def test_time_left_is_counted_down_between_two_words_about_it(tmp_path: Path) -> None:
    times = {"value": 0.0}
    log = EventLog(tmp_path / "events.jsonl")
    report = Reporter(log, clock=lambda: times["value"])
    report.progress(Progress("train", seconds_left_low=10.0, seconds_left_high=20.0), force=True)
    for now in (12.0, 20.0):
        times["value"] = now
        report.progress(Progress("validate"), force=True)
    report.close()
    log.close()
    told = [event for event in read_events(tmp_path / "events.jsonl") if event["type"] == "progress"]
    left = [(event["seconds_left_low"], event["seconds_left_high"]) for event in told]
    # The timer may have repeated one of them.
    assert list(dict.fromkeys(left)) == [(10.0, 20.0), (0.0, 8.0), (None, None)]


def test_every_event_is_described(tmp_path: Path) -> None:
    from apps.training.engine import events

    text = (ROOT / "docs" / "training-engine.md").read_text(encoding="utf-8").split("## Events")[1]
    kinds = [kind for kind in vars(events).values() if isinstance(kind, type) and issubclass(kind, events.Event)]
    described = {kind.type for kind in kinds if kind.type}
    assert len(described) == 11
    for kind in kinds:
        if kind.type:
            line = next(line for line in text.splitlines() if line.startswith(f"| `{kind.type}` |"))
            missing = [field.name for field in dataclasses.fields(kind) if f"`{field.name}`" not in line]
            assert not missing, f"{kind.type}: {missing}"


def test_the_engine_imports_nothing_heavy_before_it_is_asked() -> None:
    code = (
        "import sys, apps.training.engine.__main__, apps.training.engine.run, apps.training.engine.certificate;"
        "print(sorted({'torch', 'transformers', 'peft', 'ctranslate2', 'django'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert json.loads(done.stdout.replace("'", '"')) == []


def _alive(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except FileNotFoundError:
        return False
    return status.rsplit(")", 1)[1].split()[0] != "Z"
