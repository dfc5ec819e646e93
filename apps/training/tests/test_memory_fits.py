"""What is said to fit into the memory passes its own check."""

from typing import Any

import pytest

from apps.accounts.models import Team, User
from apps.core.tests import warm
from apps.training import preflight_host
from apps.training.datacheck import refusals_in
from apps.training.engine import estimate
from apps.training.engine.estimate import Memory, StepSize, TimedStep
from apps.training.engine.model import load_trainable, lower_half_adapter, trainable_parameters
from apps.training.engine.spec import LoraSpec, TrainingSpec
from apps.training.inputs import base_folder
from apps.training.plan import in_smaller_passes
from apps.training.tests.plans import codes, measured, plan_for, tiny_base

LORA = TrainingSpec("base", batch_size=4, accumulation=2)
FULL = TrainingSpec("base", method="full", batch_size=4, accumulation=2)
LARGEST = 4000
# Three steps of a model that takes 1,000 MiB and half a MiB for each position.
STEPS = [
    TimedStep(at, StepSize(2 * cells, cells), 1.0, 1000 + cells / 2)
    for at, cells in ((25, 2000), (50, 3000), (95, 3600))
]


def memory(*, upper_half: tuple[float, float] | None = None) -> Memory:
    return Memory(800.0, estimate.memory_line(STEPS, load_peak_mib=800.0), upper_half)


def says(
    spec: TrainingSpec, available: float, found: Memory, *, needed: float = 3300.0, parameters: int = 10**8
) -> str:
    refusal = estimate.memory_refusal(
        spec, needed=needed, available=available, parameters=parameters, largest=LARGEST, measured=found
    )
    return str(refusal.fits)


def checked(cells: int) -> float:
    """What a check of the same model finds whose largest pass has so many positions."""
    steps = [TimedStep(at, StepSize(cells, cells), 1.0, 1000 + cells / 2) for at in (25, 50, 95)]
    return estimate.memory_needed(steps, cells, load_peak_mib=800.0)


@pytest.mark.parametrize(("available", "rows"), [(2600.0, 2), (1900.0, 1)])
def test_the_rows_a_pass_that_are_named_pass_their_check(available: float, rows: int) -> None:
    assert checked(LARGEST) > available
    assert (
        says(LORA, available, memory()) == f"Rows computed at once: {rows} instead of 4 would fit, and learn the same."
    )
    assert checked(LARGEST * rows // 4) <= available


def test_fewer_rows_are_not_named_where_loading_alone_needs_more() -> None:
    found = Memory(2000.0, (1000.0, 0.5))
    assert says(LORA, 2100.0, found, needed=3300.0).startswith("A base model of at most about 63 million parameters")


def test_the_quick_preset_is_named_only_by_what_was_measured_of_it() -> None:
    assert says(LORA, 1650.0, memory(upper_half=(1000.0, 0.1))).startswith("The preset quick")
    assert says(LORA, 1650.0, memory(upper_half=(1000.0, 0.4))).startswith("A base model")
    assert says(LORA, 1650.0, memory()).startswith("A base model")


def test_lora_is_named_where_what_it_saves_at_the_least_is_enough() -> None:
    saved = 1.1 * 3 * 4 * 10**8 / 2**20
    found = Memory(800.0, (5000.0, 0.0))
    assert says(FULL, 5500 - saved + 1, found, needed=5500.0) == (
        f"LoRA instead of full fine-tuning needs at most about {round(5500 - saved)} MiB, which would fit."
    )
    assert says(FULL, 5500 - saved - 50, found, needed=5500.0).startswith("A base model")


def test_smaller_passes_keep_the_rows_of_a_step() -> None:
    spec = {"batch_size": 4, "accumulation": 2, "epochs": 1}
    assert in_smaller_passes(spec, 1) == {"batch_size": 1, "accumulation": 8, "epochs": 1}
    assert in_smaller_passes({"batch_size": 3}, 2) == {"batch_size": 3}


@pytest.mark.django_db
def test_memory_can_be_limited_and_the_upper_half_is_tried(
    team: Team, bob: User, settings: Any, artifact_folder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.VAR_DIR = artifact_folder.parent
    monkeypatch.setattr(preflight_host, "close_old_connections", lambda: None)
    monkeypatch.setattr(preflight_host, "subprocess", warm)
    settings.TRAINING_MEMORY_MIB = 100
    base = tiny_base(team)
    plan = plan_for(team, bob, base, lora={"r": 4, "alpha": 8, "targets": "all-linear", "layers": "all"})

    row = measured(team, bob, plan)

    assert codes(row) == ["memory"]
    assert "100 MiB are free" in str(refusals_in(row)[0].says)
    model = load_trainable(TrainingSpec("base", lora=LoraSpec(r=4, alpha=8), max_length=128), base_folder(base))
    below = lower_half_adapter(model)
    assert 0 < len(below) < len(trainable_parameters(model))
    assert all(".layers.0." in name for name in below)
