"""The engine's events reach the database once each, in order, and only from the attempt that holds the run."""

import json
from pathlib import Path
from typing import Any

import pytest

from apps.accounts.models import Team
from apps.core import jobs
from apps.core.models import JobStatus, LiveEvent
from apps.training import workdir
from apps.training.events import LOG_LINES, record_events
from apps.training.models import Checkpoint, MetricPoint, SampleOutput, TrainingRun
from apps.training.tests.runs import claimed_run, event, progress, taken_over

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both_databases]

SHOWN = {"id": "r", "prompt": "p", "expected": "e", "base": "b", "now": "n"}


@pytest.fixture
def run(team: Team) -> TrainingRun:
    return claimed_run(team)


def stored(run: TrainingRun) -> TrainingRun:
    return TrainingRun.objects.get(pk=run.pk)


def test_a_batch_is_applied_with_its_offset(run: TrainingRun) -> None:
    batch = [
        event("started", cpu="A CPU", threads=2, resumed_from_step=None),
        event("phase", phase="train", state="started", seconds=None),
        progress(1),
        progress(2),
        event("checkpoint", step=2, sha256="ab", bytes=2**20, name="step-2", seconds=0.1),
        event("validation", step=2, rows=4, final=False, token_loss=1.0, token_accuracy=0.5, answer_loss=3.0,
              answer_accuracy=0.25),
        event("sample", step=2, seconds=0.1, examples=[SHOWN]),
        event("log", level="warning", text="careful"),
        event("something new"),
    ]  # fmt: skip
    assert record_events(run, batch, offset=500)
    now = stored(run)
    assert (now.event_offset, now.done, now.total, now.phase) == (500, 2, 10, "train")
    assert (now.device, now.tokens_per_second, now.memory_mib) == ("A CPU, 2 threads", 50.0, 300)
    losses = MetricPoint.objects.filter(name="train_loss").order_by("step").values_list("step", "value")
    assert list(losses) == [(1, 1.0), (2, 0.5)]
    assert MetricPoint.objects.get(name="validation_answer_loss").value == 3.0
    assert (Checkpoint.objects.get().digest, SampleOutput.objects.get().text) == ("ab", "n")
    assert "warning: careful" in now.log_tail
    assert LiveEvent.objects.filter(part="progress").count() == 1


def test_another_attempt_writes_nothing(run: TrainingRun) -> None:
    new = taken_over(run)
    before = stored(run)
    assert not record_events(run, [progress(5), event("checkpoint", step=5, sha256="x", bytes=1)], offset=900)
    after = stored(run)
    assert (after.event_offset, after.done, after.heartbeat_at) == (0, before.done, before.heartbeat_at)
    assert not MetricPoint.objects.exists()
    assert not Checkpoint.objects.exists()
    assert record_events(new, [progress(5)], offset=900)


def test_the_same_attempt_number_with_an_old_claim_writes_nothing(run: TrainingRun) -> None:
    """Attempts start again at one after a pause, so the number alone does not tell two hosts apart."""
    jobs.finish(run, to=JobStatus.PAUSED)
    jobs.job_resume(actor=None, row=stored(run))
    new = jobs.claim(TrainingRun, run.pk)
    assert new is not None
    assert new.attempt == run.attempt == 1
    assert not record_events(run, [progress(5)], offset=900)
    assert record_events(new, [progress(6)], offset=900)


def test_a_failing_event_leaves_neither_points_nor_offset(run: TrainingRun) -> None:
    with pytest.raises(KeyError):
        record_events(run, [progress(1), event("checkpoint", step=1)], offset=100)
    assert stored(run).event_offset == 0
    assert not MetricPoint.objects.exists()


def test_a_resumed_engine_repeats_steps_without_doubling_them(run: TrainingRun) -> None:
    for offset in (100, 200):
        record_events(run, [progress(step) for step in (1, 2, 3)], offset=offset)
        record_events(run, [event("checkpoint", step=3, sha256="x", bytes=1)], offset=offset + 50)
    assert MetricPoint.objects.filter(name="train_loss").count() == 3
    assert Checkpoint.objects.count() == 1


def test_only_the_checkpoints_whose_files_are_kept_stand_in_the_database(team: Team, run: TrainingRun) -> None:
    other = claimed_run(team)
    record_events(other, [event("checkpoint", step=1, sha256="x", bytes=1)], offset=1)
    for step in (3, 6, 9, 12, 12):
        record_events(run, [event("checkpoint", step=step, sha256="x", bytes=1)], offset=step)
    assert list(run.checkpoints.values_list("step", flat=True)) == [9, 12]
    assert other.checkpoints.count() == 1


def test_phases_add_up_over_interruptions(run: TrainingRun) -> None:
    parts = [("started", None), ("finished", 2.0), ("started", None), ("finished", 3.0)]
    record_events(run, [event("phase", phase="load", state=state, seconds=s) for state, s in parts], offset=1)
    assert stored(run).phases == [
        {"name": "load", "seconds": 5.0, "count": 2, "started_at": "2026-11-24T10:00:00.000Z", "state": "finished"}
    ]


def test_the_log_tail_stays_short(run: TrainingRun) -> None:
    record_events(run, [event("log", level="info", text=f"line {n}") for n in range(LOG_LINES + 20)], offset=1)
    lines = stored(run).log_tail.splitlines()
    assert len(lines) == LOG_LINES
    assert lines[-1].endswith(f"line {LOG_LINES + 19}")


# --- the file


def append(folder: Path, *parts: bytes) -> None:
    with (folder / "events.jsonl").open("ab") as file:
        file.write(b"".join(parts))


def lines(*events: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(item, ensure_ascii=False).encode() + b"\n" for item in events)


def test_each_line_is_read_once_and_a_torn_one_waits(tmp_path: Path) -> None:
    assert workdir.new_events(tmp_path, 0) == ([], 0)
    whole, torn = lines(progress(1), progress(2)), lines(progress(3))
    append(tmp_path, whole, torn[:20])
    events, offset = workdir.new_events(tmp_path, 0)
    assert ([item["done"] for item in events], offset) == ([1, 2], len(whole))
    assert workdir.new_events(tmp_path, offset) == ([], offset)
    append(tmp_path, torn[20:])
    events, offset = workdir.new_events(tmp_path, offset)
    assert ([item["done"] for item in events], offset) == ([3], len(whole) + len(torn))


def test_text_with_line_separators_and_nul_arrives_whole_and_storable(tmp_path: Path, run: TrainingRun) -> None:
    text = "one\u2028two\x85three\x00four \\u0000 é"
    shown = {"id": "r", "prompt": text, "expected": text, "base": text, "now": text}
    append(tmp_path, lines(event("sample", step=1, examples=[shown]), event("log", level="info", text=text)))
    events, offset = workdir.new_events(tmp_path, 0)
    assert len(events) == 2
    assert record_events(run, events, offset=offset)
    assert SampleOutput.objects.get().text == text.replace("\x00", "\x01")


def test_a_wish_is_written_whole_and_taken_back(tmp_path: Path) -> None:
    workdir.ask(tmp_path, "pause")
    assert (tmp_path / "control").read_text() == "pause"
    workdir.ask(tmp_path, "")
    workdir.ask(tmp_path, "")
    assert not (tmp_path / "control").exists()
