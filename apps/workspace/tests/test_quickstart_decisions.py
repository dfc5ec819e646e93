"""What the main job decides before its first test score, who may write it down, and what it measured of itself."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from apps.accounts.models import Team, User
from apps.core import jobs
from apps.core.models import JobStatus
from apps.evaluation.models import Evaluation
from apps.evaluation.tasks import evaluation_slice
from apps.evaluation.tests.worlds import draft, half, perfect, rambling, try_on_validation
from apps.experiments import rows
from apps.experiments.models import Experiment
from apps.experiments.selectors import contenders
from apps.experiments.services.experiments import registration_hash
from apps.providers.engine.clients.base import GenerateRequest, GenerateResult
from apps.training.models import TrainingRun
from apps.workspace.models import ExperimentRun
from apps.workspace.quickstart import making, service, steps
from apps.workspace.quickstart.facts import peak_memory
from apps.workspace.quickstart.service import experiment_run_start
from apps.workspace.tasks import experiment_run_advance
from apps.workspace.tests.test_quickstart import Spy, definition, demo, spy, walk

__all__ = ["definition", "demo", "spy"]


# --- the choice of a draw


@pytest.mark.django_db
def test_the_draw_with_the_highest_value_on_validation_is_chosen_and_the_earlier_one_among_equals(
    team: Team, alice: User
) -> None:
    experiment = draft(team, alice)
    for seed, answer in ((1, half), (2, rambling), (3, perfect), (4, perfect)):
        try_on_validation(experiment, alice, making.draw_name(seed), answer)
    assert making.chosen_draw(experiment, [1, 2, 3, 4]) == 3
    assert making.chosen_draw(experiment, [2, 4, 3, 1]) == 4
    assert making.chosen_draw(experiment, [2, 1]) == 1


def teach(spy: Spy, seed: int) -> None:
    """From now on it answers the validation rows right where the demonstrations are those of one draw."""
    candidate = Experiment.objects.get().candidates.get(name=making.draw_name(seed))
    assert candidate.prompt_version is not None
    shown = [each["input"] for each in candidate.prompt_version.demonstrations]
    expected = {row.input: row.expected for row in rows.validation_rows(candidate.experiment.dataset_version)}
    guess = spy.generate

    async def generate(request: GenerateRequest) -> GenerateResult:
        result = await guess(request)
        text = "\n".join(message.content for message in request.messages)
        knows = all(each in text for each in shown) and request.messages[-1].content in expected
        return replace(result, text=expected[request.messages[-1].content]) if knows else result

    spy.generate = generate  # type: ignore[method-assign]


@pytest.mark.django_db(transaction=True)
@pytest.mark.both_databases
def test_the_prompt_of_the_best_draw_is_the_one_that_is_registered(
    definition: dict[str, Any], demo: tuple[Team, User], spy: Spy
) -> None:
    team, user = demo
    quickstart = experiment_run_start(actor=user, team=team, definition=definition)
    taught = False
    for _ in range(100):
        experiment_run_advance(quickstart.pk)
        for evaluation in Evaluation.objects.filter(status=JobStatus.QUEUED, purpose=Evaluation.Purpose.CHOICE):
            if not taught:
                teach(spy, 2)
                taught = True
            evaluation_slice(evaluation.pk)
        if Experiment.objects.filter(registered_at__isnull=False).exists():
            break
    candidates = Experiment.objects.get().candidates
    draws = {seed: candidates.get(name=making.draw_name(seed)).prompt_version for seed in (1, 2, 3)}
    assert len(set(draws.values())) == 3
    assert candidates.get(name=making.FEW_SHOT).prompt_version == draws[2]


# --- what is written down


@pytest.fixture
def asleep(definition: dict[str, Any], demo: tuple[Team, User]) -> ExperimentRun:
    """The job as a process holds it that slept while another took over."""
    team, user = demo
    held: ExperimentRun = jobs.claim(
        ExperimentRun, experiment_run_start(actor=user, team=team, definition=definition).pk
    )
    ExperimentRun.objects.filter(pk=held.pk).update(claim="another")
    return held


@pytest.mark.django_db(transaction=True)
@pytest.mark.both_databases
def test_a_process_that_was_taken_over_makes_no_second_experiment_or_training_run(asleep: ExperimentRun) -> None:
    with pytest.raises(making.StepFailed, match="has taken over"):
        steps.define(asleep)
    assert not Experiment.objects.exists()
    assert asleep.experiment is None

    awake = ExperimentRun.objects.get()
    steps.define(awake)
    assert ExperimentRun.objects.get().experiment == Experiment.objects.get()
    asleep.refresh_from_db(fields=["experiment"])
    with pytest.raises(making.StepFailed, match="has taken over"):
        steps._training_run_create(asleep, _any_prompt(awake))
    assert not TrainingRun.objects.exists()
    assert steps._training_run_create(awake, _any_prompt(awake)) == ExperimentRun.objects.get().training_run


def _any_prompt(quickstart: ExperimentRun) -> Any:
    return making.prompt_ensure(quickstart, "tuned", quickstart.definition["prompts"]["tuned"])


@pytest.mark.django_db(transaction=True)
def test_what_was_registered_with_the_plan_of_a_training_holds_when_the_model_is_ready(
    definition: dict[str, Any], demo: tuple[Team, User], spy: Spy, tmp_path: Path
) -> None:
    team, user = demo
    ended = walk(experiment_run_start(actor=user, team=team, definition=definition), tmp_path, spy)
    assert (ended.status, ended.error) == (JobStatus.SUCCEEDED, "")
    experiment = Experiment.objects.get()
    assert hash_now(experiment) == experiment.registration_hash
    model = experiment.candidates.get(name=making.TUNED).language_model
    model.facts["spec"]["epochs"] += 1
    model.save(update_fields=["facts"])
    assert hash_now(experiment) != experiment.registration_hash


def hash_now(experiment: Experiment) -> str:
    assert experiment.reference is not None
    return registration_hash(experiment, contenders(experiment), experiment.reference, experiment.family)


# --- what it measured of itself


def sampled(var_dir: Path, peak_mib: float | None) -> None:
    path = var_dir / "run" / "peak_pss.json"
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    if peak_mib is not None:
        path.write_text(json.dumps({"peak_mib": peak_mib}))


def test_the_peak_of_memory_is_that_of_all_starts(tmp_path: Path, settings: Any) -> None:
    settings.VAR_DIR = tmp_path
    sampled(tmp_path, None)
    assert peak_memory({}) == {"peak_pss": None}
    sampled(tmp_path, 3000.0)
    assert peak_memory({"peak_pss": None}) == {"peak_pss": 3000.0}
    sampled(tmp_path, 400.0)
    assert peak_memory({"peak_pss": 3000.0}) == {"peak_pss": 3000.0}
    sampled(tmp_path, None)
    assert peak_memory({"peak_pss": 3000.0}) == {"peak_pss": 3000.0}


@pytest.mark.django_db(transaction=True)
def test_a_later_start_does_not_forget_the_peak_of_an_earlier_one(
    definition: dict[str, Any], demo: tuple[Team, User], tmp_path: Path
) -> None:
    team, user = demo
    held = jobs.claim(ExperimentRun, experiment_run_start(actor=user, team=team, definition=definition).pk)
    assert held is not None
    for step, peak in zip(steps.STEPS, (3000.0, 400.0), strict=False):
        sampled(tmp_path, peak)
        service._mark(held, step, "started")
    assert ExperimentRun.objects.get().facts["memory_mib"] == {"peak_pss": 3000.0}
