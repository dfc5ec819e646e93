"""What was predicted of a run stands beside what it took: on its page, by REST, from whichever side it came."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from apps.accounts.models import Team, User
from apps.core.models import JobStatus
from apps.core.tests.factories import PreflightFactory, TrainingRunFactory
from apps.providers.models import LanguageModel
from apps.training.events import record_events
from apps.training.models import Preflight, TrainingRun
from apps.training.plan import Planned
from apps.training.runlist import Prediction, prediction_of
from apps.training.services.runs import training_run_create
from apps.training.tests.plans import plan_for, tiny_base
from apps.training.tests.runs import claimed_run, event, progress, taken_over

pytestmark = pytest.mark.django_db
MEASURED = {"seconds_low": 90.0, "seconds_high": 116.0, "refusals": []}
TRAINER = {"train_seconds": 2.0, "seconds_left_low": 30.0, "seconds_left_high": 50.0}


@pytest.fixture
def base(team: Team, settings: Any, artifact_folder: Any) -> LanguageModel:
    settings.VAR_DIR = artifact_folder.parent
    return tiny_base(team)


def check_of(team: Team, plan: Planned, **fields: Any) -> Preflight:
    made: Preflight = PreflightFactory.create(
        team=team, base_model=plan.base_model, dataset_version=plan.dataset_version, prompt_version=plan.prompt_version,
        spec=plan.spec, limits=dict(plan.limits), digest=plan.digest,
        **{"status": JobStatus.SUCCEEDED, "result": MEASURED, **fields},
    )  # fmt: skip
    return made


def made(team: Team, actor: User, plan: Planned) -> TrainingRun:
    return training_run_create(
        actor=actor, team=team, name="Made", base_model=plan.base_model, dataset_version=plan.dataset_version,
        prompt_version=plan.prompt_version, spec=plan.spec, limits=dict(plan.limits),
    )  # fmt: skip


def shown(client: Client, run: TrainingRun) -> str:
    return client.get(reverse("training_run", args=[run.team.slug, run.uid])).content.decode()


def test_a_run_of_a_plan_that_was_checked_keeps_what_was_measured(team: Team, bob: User, base: LanguageModel) -> None:
    plan = plan_for(team, bob, base)
    known = check_of(team, plan)
    check_of(team, plan, result={"refusals": []})
    check_of(team, plan, status=JobStatus.FAILED)

    run = made(team, bob, plan)

    assert (run.preflight, run.predicted_low, run.predicted_high) == (known, 90.0, 116.0)


def test_a_plan_that_differs_in_anything_was_not_checked(team: Team, bob: User, base: LanguageModel) -> None:
    plan = plan_for(team, bob, base)
    check_of(team, plan)

    run = made(team, bob, Planned(base, plan.dataset_version, plan.prompt_version, {**plan.spec, "epochs": 2}))

    assert (run.preflight, run.predicted_low) == (None, None)


def test_what_the_trainer_says_first_stays_through_later_attempts(team: Team) -> None:
    run = claimed_run(team)
    loaded = [event("phase", phase="load", state="started"), event("phase", phase="load", state="finished", seconds=5)]
    assert record_events(run, [*loaded, progress(1, **TRAINER)], offset=1)

    again = taken_over(run)
    assert record_events(again, [progress(2, **{**TRAINER, "seconds_left_high": 900.0})], offset=2)

    again.refresh_from_db()
    assert (again.predicted_low, again.predicted_high) == (37.0, 57.0)


def test_a_prediction_that_was_measured_is_never_replaced(team: Team) -> None:
    run = claimed_run(team, predicted_low=90.0, predicted_high=116.0)
    before = [
        event("phase", phase="load", state="finished", seconds=6),
        progress(1, phase="preflight", seconds_left_low=None),
    ]
    assert record_events(run, before, offset=1)
    run.refresh_from_db()
    assert (run.seconds_left_low, run.seconds_left_high) == (84.0, 110.0)
    assert record_events(run, [progress(1, **TRAINER)], offset=2)
    run.refresh_from_db()
    assert (run.predicted_low, run.predicted_high) == (90.0, 116.0)


@pytest.mark.parametrize(
    ("took", "said"),
    [(118.0, "15\u00a0% longer"), (96.0, "7\u00a0% shorter"), (103.2, "as predicted")],
)
def test_the_deviation_is_told_in_words(took: float, said: str) -> None:
    assert Prediction(90.0, 116.0, checked=True, took=took).deviation_text == said


def ended(team: Team, **fields: Any) -> TrainingRun:
    """A run that was predicted at 103 s; its phases add up to 118 s whatever the wall clock said."""
    result = {"step": 9, "phase_seconds": {"load": 8.0, "train": 110.0}}
    known = {"status": JobStatus.SUCCEEDED, "predicted_low": 90.0, "predicted_high": 116.0, "result": result}
    run: TrainingRun = TrainingRunFactory.create(team=team, **{**known, **fields})
    return run


def test_the_page_says_what_the_check_predicted_and_what_it_took(client: Client, team: Team, bob: User) -> None:
    client.force_login(bob)
    text = shown(client, ended(team, preflight=PreflightFactory.create(team=team)))
    assert "The check before the start predicted 1 min 43 s, it took 1 min 58 s: 15\u00a0% longer." in text


def test_the_page_says_that_nobody_checked_and_what_the_trainer_predicted(
    client: Client, team: Team, bob: User
) -> None:
    client.force_login(bob)
    assert "Not checked before the start; after its first step the trainer predicted 1 min 43 s, it took" in shown(
        client, ended(team)
    )
    waiting = ended(team, predicted_low=None, predicted_high=None, status=JobStatus.QUEUED, result={})
    assert "Not checked before the start: the trainer says how long it takes" in shown(client, waiting)
    failed = ended(team, predicted_low=None, predicted_high=None, status=JobStatus.FAILED, result={})
    assert "Nothing was predicted" in shown(client, failed)


def test_a_run_that_did_not_end_well_is_not_compared(team: Team) -> None:
    prediction = prediction_of(ended(team, status=JobStatus.CANCELLED))
    assert prediction is not None
    assert (prediction.took, prediction.deviation, prediction.within) == (None, None, None)


def test_rest_tells_the_same(client: Client, team: Team, bob: User) -> None:
    client.force_login(bob)
    check = PreflightFactory.create(team=team)
    seen = client.get(reverse("api_fine_tune_run", args=[ended(team, preflight=check).uid])).json()
    assert (seen["predicted_low"], seen["predicted_high"], seen["preflight"]) == (90.0, 116.0, str(check.uid))
    assert seen["took_seconds"] == 118.0
    assert seen["prediction_deviation"] == pytest.approx(118 / 103 - 1)
    waiting = client.get(reverse("api_fine_tune_run", args=[ended(team, status=JobStatus.QUEUED).uid])).json()
    assert (waiting["took_seconds"], waiting["prediction_deviation"], waiting["preflight"]) == (None, None, None)
