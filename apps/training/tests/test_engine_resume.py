from __future__ import annotations

import signal
from pathlib import Path

import pytest

from apps.training.engine.checkpoint import damage, load_latest
from apps.training.engine.errors import TrainingError
from apps.training.engine.events import read_events
from apps.training.engine.spec import read_spec
from apps.training.tests.tiny_models import (
    build_model,
    in_process,
    last_weights,
    train_here,
    train_until_killed,
    train_until_killed_while_saving,
    write_run,
)

STEPS = 10


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("bases")
    return {kind: build_model(folder / kind, kind) for kind in ("gpt2", "llama")}


@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_a_run_killed_in_the_middle_ends_with_the_same_weights_bit_for_bit(
    kind: str, method: str, bases: dict[str, Path], tmp_path: Path
) -> None:
    accumulation = {"batch_size": 2, "accumulation": 2} if method == "full" else {}
    whole = write_run(tmp_path / "whole", bases[kind], method=method, **accumulation)
    killed = write_run(tmp_path / "killed", bases[kind], method=method, **accumulation)
    assert in_process(train_here, whole) == 0
    # Step 7 lies one step after the checkpoint of step 6 and in the second epoch.
    assert in_process(train_until_killed, killed, 7) == -signal.SIGKILL
    assert not (killed / "checkpoints" / f"step-{STEPS:08d}").exists()
    assert in_process(train_here, killed) == 0
    assert last_weights(killed) == last_weights(whole)
    assert any("Going on from step 6 of 10" in event.get("text", "") for event in read_events(killed / "events.jsonl"))


def test_dropout_takes_part_in_what_a_resumed_run_repeats(bases: dict[str, Path], tmp_path: Path) -> None:
    without = write_run(tmp_path / "without", bases["llama"], lora={"r": 4, "alpha": 8, "dropout": 0.0})
    with_dropout = write_run(tmp_path / "with", bases["llama"])
    train_here(without)
    train_here(with_dropout)
    assert last_weights(without) != last_weights(with_dropout)


def test_a_kill_while_a_checkpoint_is_written_leaves_the_one_before_it(bases: dict[str, Path], tmp_path: Path) -> None:
    whole = write_run(tmp_path / "whole", bases["llama"])
    killed = write_run(tmp_path / "killed", bases["llama"])
    train_here(whole)
    assert in_process(train_until_killed_while_saving, killed, 2) == -signal.SIGKILL
    assert [path.name for path in (killed / "checkpoints").glob("step-*")] == ["step-00000003"]
    assert list((killed / "checkpoints").glob(".*.writing"))
    train_here(killed)
    assert last_weights(killed) == last_weights(whole)
    assert not list((killed / "checkpoints").glob(".*.writing"))


@pytest.mark.slow
def test_when_things_are_saved_measured_and_shown_changes_no_weight(bases: dict[str, Path], tmp_path: Path) -> None:
    often = write_run(tmp_path / "often", bases["gpt2"], checkpoint_every_steps=1, evaluate_every_seconds=1e-6,
                      sample_every_seconds=1e-6)  # fmt: skip
    seldom = write_run(tmp_path / "seldom", bases["gpt2"], checkpoint_every_steps=0)
    train_here(often)
    train_here(seldom)
    events = read_events(often / "events.jsonl")
    assert sum(event["type"] == "sample" for event in events) == STEPS + 1
    assert sum(event["type"] == "validation" for event in events) == STEPS + 1
    assert last_weights(often) == last_weights(seldom)


def test_a_pause_saves_every_step_and_going_on_ends_with_the_same_weights(
    bases: dict[str, Path], tmp_path: Path
) -> None:
    whole, paused = write_run(tmp_path / "whole", bases["llama"]), write_run(tmp_path / "paused", bases["llama"])
    train_here(whole)
    answers = iter([None] * 4 + ["pause"])
    trained = train_here(paused, stop=lambda: next(answers))
    assert (trained.stopped, trained.position.step) == ("pause", 4)
    assert max((paused / "checkpoints").glob("step-*")).name == "step-00000004"
    train_here(paused)
    assert last_weights(paused) == last_weights(whole)


def test_two_checkpoints_are_kept_and_a_damaged_one_is_passed_over(bases: dict[str, Path], tmp_path: Path) -> None:
    run_dir = write_run(tmp_path / "run", bases["llama"])
    train_here(run_dir)
    names = sorted(path.name for path in (run_dir / "checkpoints").iterdir())
    assert names == ["step-00000009", "step-00000010"]
    newest = run_dir / "checkpoints" / names[-1]
    assert damage(newest) is None
    weights = bytearray((newest / "weights.safetensors").read_bytes())
    weights[-1] ^= 1
    (newest / "weights.safetensors").write_bytes(weights)
    assert damage(newest) == "weights.safetensors has changed"
    warnings: list[str] = []
    spec = read_spec(run_dir / "spec.json")
    loaded = load_latest(run_dir / "checkpoints", spec_sha256=spec.sha256(), warn=warnings.append)
    assert loaded is not None
    assert loaded.name == "step-00000009"
    assert warnings == [
        "Checkpoint step-00000010 is damaged (weights.safetensors has changed) and was passed over."
    ]  # fmt: skip


def test_a_checkpoint_of_another_spec_is_refused(bases: dict[str, Path], tmp_path: Path) -> None:
    run_dir = write_run(tmp_path / "run", bases["llama"])
    train_here(run_dir)
    text = (run_dir / "spec.json").read_text(encoding="utf-8")
    (run_dir / "spec.json").write_text(text.replace('"seed": 3', '"seed": 4'), encoding="utf-8")
    with pytest.raises(TrainingError, match=r"belongs to another spec\.json"):
        train_here(run_dir)
