"""What a run would take, measured with the real engine on a random model, and what it refuses."""

import dataclasses
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from apps.accounts.models import Team, User
from apps.core import jobs
from apps.core.errors import ApplicationError, Conflict, NotAllowed
from apps.core.models import JobStatus
from apps.core.tests import warm
from apps.core.tests.factories import PreflightFactory, TrainingRunFactory
from apps.providers.models import LanguageModel
from apps.training import preflight_host
from apps.training.datacheck import refusals_in
from apps.training.device import device_is_busy, lease_release, lease_take
from apps.training.host import host_run
from apps.training.inputs import planned_rows, tokenizer_of
from apps.training.models import DeviceLease, ModelVersion, Preflight, TrainingRun
from apps.training.plan import Planned, plan_of
from apps.training.queueing import queue_text
from apps.training.runlist import prediction_of
from apps.training.services.preflights import preflight_accept, preflight_request
from apps.training.services.runs import training_run_create, training_run_start
from apps.training.tasks import preflight_start, training_start
from apps.training.tests.plans import codes, measured, plan_for, tamper, tiny_base


@pytest.fixture(autouse=True)
def one_process(settings: Any, artifact_folder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hosts run in the tests' process, whose connection holds the tests' transaction."""
    settings.VAR_DIR = artifact_folder.parent
    for module in ("host", "preflight_host"):
        monkeypatch.setattr(f"apps.training.{module}.close_old_connections", lambda: None)
        monkeypatch.setattr(f"apps.training.{module}.subprocess", warm)


@pytest.fixture
def base(team: Team) -> LanguageModel:
    return tiny_base(team)


@pytest.fixture
def signals() -> Iterator[None]:
    """A host takes the signals of its process; afterwards they are the tests' again."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["lora", "full"])
def test_from_the_question_to_a_registered_model(
    team: Team, bob: User, base: LanguageModel, signals: None, method: str
) -> None:
    row = measured(team, bob, plan_for(team, bob, base, method=method))

    assert (row.status, codes(row)) == (JobStatus.SUCCEEDED, [])
    assert row.result["trained_tokens"] > row.dataset_version.train_count
    assert [step["percentile"] for step in row.result["steps"]] == [25, 50, 95]
    assert 0 < row.result["seconds_low"] < row.result["seconds_high"]
    assert row.result["memory_mib"] > max(step["peak_mib"] for step in row.result["steps"])
    run = preflight_accept(actor=bob, preflight=row, name="Tuned")
    claimed = jobs.claim(TrainingRun, run.pk)
    assert claimed is not None
    assert host_run(claimed.pk, attempt=claimed.attempt, claim=claimed.claim) == 0
    run.refresh_from_db()
    version = ModelVersion.objects.get(run=run)
    assert (run.status, run.error) == (JobStatus.SUCCEEDED, "")
    assert version.certificate["passed"]
    assert version.language_model.state == LanguageModel.State.READY
    assert version.lineage["spec"]["method"] == method
    shown = prediction_of(run)
    assert shown is not None
    assert shown.took is not None
    assert (shown.low, shown.high) == (row.result["seconds_low"], row.result["seconds_high"])
    assert not DeviceLease.objects.exclude(run=None, preflight=None).exists()


def test_the_same_question_is_answered_from_what_was_measured(team: Team, bob: User, base: LanguageModel) -> None:
    plan = plan_for(team, bob, base)
    first = preflight_request(actor=bob, team=team, plan=plan)

    assert preflight_request(actor=bob, team=team, plan=plan) == first
    assert preflight_request(actor=bob, team=team, plan=dataclasses.replace(plan, limits={"max_examples": 8})) != first
    Preflight.objects.filter(pk=first.pk).update(status=JobStatus.SUCCEEDED)
    assert preflight_request(actor=bob, team=team, plan=plan) == first
    assert preflight_request(actor=bob, team=team, plan=plan, again=True) != first


def test_a_check_that_failed_is_made_again_by_asking_again(team: Team, bob: User, base: LanguageModel) -> None:
    plan = plan_for(team, bob, base)
    first = preflight_request(actor=bob, team=team, plan=plan)
    Preflight.objects.filter(pk=first.pk).update(status=JobStatus.FAILED)

    assert preflight_request(actor=bob, team=team, plan=plan) == first
    first.refresh_from_db()
    assert first.status == JobStatus.QUEUED


def half_fits(plan: Planned) -> tuple[Planned, int]:
    """The plan with a length that half of its rows have at most, and that length."""
    tokenizer = tokenizer_of(plan.base_model)
    found = [tokenizer.render_example(row.messages, row.answer) for row in planned_rows(plan).train]
    most = sorted(len(example.ids) for example in found)[len(found) // 2]
    return dataclasses.replace(plan, spec={**plan.spec, "max_length": most}), most


def test_answers_that_would_be_cut_are_counted_named_and_refused(team: Team, bob: User, base: LanguageModel) -> None:
    plan, most = half_fits(plan_for(team, bob, base))

    row = measured(team, bob, plan)

    cut = row.result["cut"]
    assert 0 < cut["train"] < row.dataset_version.train_count
    assert {item["tokens"] > most > item["tokens"] - item["trained"] for item in cut["rows"]} == {True}
    refusal = next(item for item in refusals_in(row) if item.code == "cut_answers")
    assert f"{cut['train']} of {row.dataset_version.train_count} training answers would be cut" in str(refusal.says)
    assert str(refusal.fits) == f"Room for {row.result['longest']} tokens, which this model has, would do."
    assert set(refusal.rows) <= {item["id"] for item in cut["rows"]}
    assert "steps" not in row.result
    with pytest.raises(ApplicationError, match="would be cut"):
        preflight_accept(actor=bob, preflight=row, name="")


def test_rows_that_are_too_long_can_be_left_out_instead(team: Team, bob: User, base: LanguageModel) -> None:
    plan, most = half_fits(plan_for(team, bob, base, limits={"leave_out_long": True}))

    row = measured(team, bob, plan)

    assert codes(row) == []
    assert row.result["left_out"]["count"] > 0
    assert row.result["examples"] < row.dataset_version.train_count
    assert row.result["longest"] == most


def test_an_end_token_that_is_never_trained_is_refused(team: Team, bob: User, base: LanguageModel) -> None:
    row = measured(team, bob, plan_for(team, bob, base, max_length=8))

    assert "stop_not_trained" in codes(row)
    assert "would not learn to stop" in str(refusals_in(row)[0].says)


def test_not_enough_memory_says_what_would_fit(
    team: Team, bob: User, base: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight_host, "available_mib", lambda: 120.0)

    row = measured(team, bob, plan_for(team, bob, base))

    assert codes(row) == ["memory"]
    (refusal,) = refusals_in(row)
    assert "120 MiB are free" in str(refusal.says)
    assert "would fit" in str(refusal.fits)


def test_a_time_limit_becomes_a_number_of_examples(team: Team, bob: User, base: LanguageModel) -> None:
    free = measured(team, bob, plan_for(team, bob, base, rows=240, epochs=1000))
    around = sum(seconds for name, seconds in free.result["seconds"].items() if name in ("start", "export"))
    # A fifth of the steps: the second check may find the machine four times as fast as the first, or as slow.
    limit = round(around + 0.2 * (free.result["seconds_high"] - around))

    row = measured(team, bob, plan_for_like(free, limits={"max_seconds": limit}))

    assert codes(row) == []
    assert 8 <= row.result["examples"] < free.result["examples"]
    assert row.result["seconds_high"] <= limit * 1.2
    run = preflight_accept(actor=bob, preflight=row, name="")
    assert run.limits == {"max_seconds": limit, "max_examples": row.result["examples"]}
    assert run.predicted_high == row.result["seconds_high"]


def test_a_time_limit_in_which_no_step_fits_is_refused(team: Team, bob: User, base: LanguageModel) -> None:
    row = measured(team, bob, plan_for(team, bob, base, limits={"max_seconds": 1}))

    assert codes(row) == ["time"]
    assert "or more would do" in str(refusals_in(row)[0].fits)


def plan_for_like(row: Preflight, **changes: Any) -> Planned:
    return dataclasses.replace(plan_of(row), **changes)


# --- rows that straddle the splits


def same_input(rows: list[Any]) -> list[Any]:
    hidden = next(row for row in rows if row.split == "test")
    first = next(index for index, row in enumerate(rows) if row.split == "train")
    rows[first] = dataclasses.replace(rows[first], input=hidden.input.upper())
    return rows


def almost_the_same_input(rows: list[Any]) -> list[Any]:
    hidden = next(row for row in rows if row.split == "test")
    first = next(index for index, row in enumerate(rows) if row.split == "train")
    rows[first] = dataclasses.replace(rows[first], input=f"{hidden.input}.")
    return rows


def same_group(rows: list[Any]) -> list[Any]:
    hidden = next(row for row in rows if row.split == "test")
    first = next(index for index, row in enumerate(rows) if row.split == "train")
    rows[first] = dataclasses.replace(rows[first], group_key=hidden.group_key)
    return rows


@pytest.mark.parametrize("change", [same_input, almost_the_same_input, same_group])
def test_rows_across_splits_are_refused_by_preflight_and_service_alike(
    team: Team, bob: User, base: LanguageModel, change: Any
) -> None:
    plan = plan_for(team, bob, base)
    tamper(plan.dataset_version, change)

    row = measured(team, bob, plan)

    assert codes(row) == ["splits"]
    assert "1 training rows have the input of a test row" in str(refusals_in(row)[0].says)
    row.delete()
    with pytest.raises(ApplicationError, match="the test would measure memory"):
        training_run_start(actor=bob, run=planned(team, bob, plan))


def planned(team: Team, actor: User, plan: Any) -> TrainingRun:
    return training_run_create(
        actor=actor,
        team=team,
        name="Planned",
        base_model=plan.base_model,
        dataset_version=plan.dataset_version,
        prompt_version=plan.prompt_version,
        spec=plan.spec,
        limits=plan.limits,
    )


def test_the_service_refuses_what_the_page_would_not_start(team: Team, bob: User, base: LanguageModel) -> None:
    run = planned(team, bob, plan_for(team, bob, base, max_length=8))

    with pytest.raises(ApplicationError, match="would never be trained") as refused:
        training_run_start(actor=bob, run=run)
    run.refresh_from_db()
    assert (refused.value.code, run.status) == ("training_refused", JobStatus.PLANNED)


def test_what_cannot_be_limited_is_no_limit(team: Team, bob: User, base: LanguageModel) -> None:
    plan = plan_for(team, bob, base)
    for limits in ({"max_examples": 0}, {"max_rows": 5}, {"leave_out_long": 1}, {"max_seconds": True}):
        with pytest.raises(ApplicationError, match="cannot be"):
            preflight_request(actor=bob, team=team, plan=dataclasses.replace(plan, limits=limits))


def test_a_model_that_does_not_run_here_is_not_trained(team: Team, bob: User, base: LanguageModel) -> None:
    base.kind, base.provider, base.provider_model = LanguageModel.Kind.COMMERCIAL, "openai", "gpt-5-mini"
    base.save(update_fields=["kind", "provider", "provider_model"])

    with pytest.raises(ApplicationError, match="cannot be trained"):
        preflight_request(actor=bob, team=team, plan=plan_for(team, bob, base))


def test_a_viewer_asks_for_nothing_and_starts_nothing(team: Team, bob: User, vera: User, base: LanguageModel) -> None:
    plan = plan_for(team, bob, base)
    row = preflight_request(actor=bob, team=team, plan=plan)

    with pytest.raises(NotAllowed):
        preflight_request(actor=vera, team=team, plan=plan)
    with pytest.raises(NotAllowed):
        preflight_accept(actor=vera, preflight=row, name="")
    with pytest.raises(Conflict, match="not finished"):
        preflight_accept(actor=bob, preflight=row, name="")


# --- the queue


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Hosts that the tasks would start."""
    found: list[Any] = []
    monkeypatch.setattr("apps.training.tasks.host_start", found.append)
    monkeypatch.setattr("apps.training.tasks.preflight_host_start", found.append)
    return found


def test_a_preflight_waits_for_the_training_that_has_the_device(team: Team, started: list[Any]) -> None:
    running = TrainingRunFactory.create(team=team, status=JobStatus.RUNNING)
    assert lease_take(running)
    row: Preflight = PreflightFactory.create(team=team, status=JobStatus.QUEUED)

    preflight_start(row.pk)

    row.refresh_from_db()
    assert (row.status, started) == (JobStatus.QUEUED, [])
    assert queue_text(row) == "Waits for the training that runs. First in the queue."
    TrainingRun.objects.filter(pk=running.pk).update(status=JobStatus.SUCCEEDED)
    lease_release(running, attempt=running.attempt)
    assert not device_is_busy()
    preflight_start(row.pk)
    assert started == [row]


def test_runs_start_in_the_order_in_which_they_were_planned(team: Team, started: list[Any]) -> None:
    first, second = (TrainingRunFactory.create(team=team, status=JobStatus.QUEUED) for _ in range(2))
    check = PreflightFactory.create(team=team, status=JobStatus.QUEUED)

    for task, job in ((training_start, second), (training_start, first), (preflight_start, check)):
        task(job.pk)
    assert started == [check]
    assert queue_text(second) == "Second in the queue."
    training_start(second.pk)
    training_start(first.pk)
    assert started == [check, first]


def test_a_run_whose_host_died_does_not_wait_for_its_own_device(team: Team, started: list[Any]) -> None:
    run = TrainingRunFactory.create(team=team, status=JobStatus.QUEUED, attempt=1)
    assert lease_take(run)

    training_start(run.pk)

    assert started == [run]


def test_a_preflight_that_is_cancelled_ends_as_that(
    team: Team, bob: User, base: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = preflight_request(actor=bob, team=team, plan=plan_for(team, bob, base))
    claimed = jobs.claim(Preflight, row.pk)
    jobs.job_cancel(actor=bob, row=claimed)

    assert preflight_host.preflight_run(claimed.pk, attempt=claimed.attempt, claim=claimed.claim) == 0

    row.refresh_from_db()
    assert row.status == JobStatus.CANCELLED
    assert not device_is_busy()
