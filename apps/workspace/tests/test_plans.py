"""Use your own data: the proposal for a dataset version, and its run from the form to the report."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from apps.accounts.models import Team, User
from apps.billing.models import Price
from apps.core.models import JobStatus
from apps.core.tests import factories
from apps.evaluation.models import Evaluation
from apps.experiments.models import DatasetVersion, Experiment
from apps.experiments.reports import few_test_text
from apps.experiments.services.datasets import dataset_create, dataset_version_create
from apps.experiments.services.imports import dataset_import_accept
from apps.experiments.tests.upload_world import inspected, staged
from apps.experiments.tests.world import version_of
from apps.providers.models import LanguageModel
from apps.training.models import TrainingRun
from apps.training.plan import PRESETS, plan_digest, preset_limits, spec_of
from apps.workspace.models import ExperimentRun
from apps.workspace.quickstart.plan import plan_definition, prompt_spec_of, tuned_prompt
from apps.workspace.selectors.plans import base_choices, plan_estimate, proposal_for, suggested_instruction
from apps.workspace.tests.test_quickstart import Spy, demo, spy, walk

__all__ = ["demo", "spy"]


@pytest.fixture
def base(demo: tuple[Team, User], artifact_folder: Path) -> LanguageModel:
    team, user = demo
    (artifact_folder / "models" / "tiny" / "hf").mkdir(parents=True)
    (artifact_folder / "models" / "tiny" / "hf" / "weights").write_text("w")
    model: LanguageModel = LanguageModel.objects.create(
        team=team, name="Tiny", kind="local", state="ready", served_name="tiny", revision="r", artifact="models/tiny",
        context_length=2048,
    )  # fmt: skip
    return model


@pytest.fixture
def alice(client: Client, demo: tuple[Team, User]) -> Client:
    client.force_login(demo[1])
    return client


def plan_page(version: DatasetVersion) -> str:
    return reverse("plan", args=[version.dataset.team.slug, version.dataset.uid, version.number])


def filled(client: Client, version: DatasetVersion, **changes: Any) -> dict[str, Any]:
    """The form as it is proposed, sent back."""
    form = client.get(plan_page(version)).context["form"]
    values = {name: form.get_initial_for_field(field, name) for name, field in form.fields.items()}
    return {name: value for name, value in {**values, **changes}.items() if value not in (None, False, "")}


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_proposal_taken_as_it_is_ends_in_a_report(
    alice: Client, demo: tuple[Team, User], base: LanguageModel, spy: Spy, tmp_path: Path
) -> None:
    version = version_of(*demo, count=160)
    answer = alice.post(plan_page(version), filled(alice, version))
    assert answer.status_code == 302, answer.content.decode()
    ended = walk(ExperimentRun.objects.get(), tmp_path, spy)
    assert (ended.status, ended.error) == (JobStatus.SUCCEEDED, "")
    experiment = Experiment.objects.get()
    assert [each.name for each in experiment.candidates.filter(trial=False)] == [
        "Most frequent answer",
        "Nearest training example",
        "Token lookup",
        "Base model, plain prompt",
        "Base model, few-shot prompt",
        "Fine-tuned model",
    ]
    assert experiment.reference == experiment.candidates.get(name="Fine-tuned model")
    assert experiment.report_artifact
    started = reverse("plan_started", args=[experiment.team.slug, ended.uid])
    swapped = alice.get(started, HTTP_HX_REQUEST="true")
    assert swapped["HX-Redirect"] == reverse("experiment", args=[experiment.team.slug, experiment.uid])
    assert alice.get(started).url == reverse("experiment", args=[experiment.team.slug, experiment.uid])  # type: ignore[attr-defined]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("said", "proposed"),
    [
        (["Name the intent."], "Name the intent."),
        (["Name the intent.", "Be brief."], "{{ system }}"),
        (["Fill {{ this }} in."], "{{ system }}"),
        ([""], "Answer the input. Give the answer alone, without an explanation."),
    ],
)
def test_the_system_message_of_conversations_is_the_proposed_instruction(
    alice: Client, demo: tuple[Team, User], base: LanguageModel, said: list[str], proposed: str
) -> None:
    rows = [
        {
            "messages": [
                {"role": "system", "content": said[n % len(said)]},
                {"role": "user", "content": f"question {n} about {n * 7919 % 1000}"},
                {"role": "assistant", "content": f"the answer is {n} indeed"},
            ]
        }
        for n in range(80)
    ]
    upload = inspected(alice, demo[0], "\n".join(map(json.dumps, rows)).encode(), "chat.jsonl")
    made = staged(alice, demo[0], upload, format="text", name="Chat")
    assert made.status == JobStatus.SUCCEEDED, made.error
    version = dataset_import_accept(actor=demo[1], dataset_import=made)

    form = alice.get(plan_page(version)).context["form"]

    assert form["instruction"].value() == proposed


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("answer", "expected", "primary"),
    [
        ({"format": "label", "labels": ["odd", "even"]}, lambda n: "even" if n % 2 == 0 else "odd", "accuracy"),
        ({"format": "number", "tolerance": 0.5}, lambda n: str(n), "within_tolerance"),
        ({"format": "text"}, lambda n: f"the number {n}", "token_f1"),
    ],
)
def test_each_kind_of_answer_is_measured_by_its_own_figures(
    alice: Client,
    demo: tuple[Team, User],
    base: LanguageModel,
    spy: Spy,
    tmp_path: Path,
    answer: dict[str, Any],
    expected: Any,
    primary: str,
) -> None:
    dataset = dataset_create(actor=demo[1], team=demo[0], name="Numbers", split_seed=3)
    words = ("harbour", "lantern", "meadow", "quartz", "violin", "walnut")
    pairs = [(f"{words[n % 6]} {n * 7919} {words[n * 5 % 6]} {n}", expected(n)) for n in range(140)]
    version = dataset_version_create(actor=demo[1], dataset=dataset, pairs=pairs, answer=answer)
    alice.post(plan_page(version), filled(alice, version, tune=False))
    ended = walk(ExperimentRun.objects.get(), tmp_path, spy)
    assert (ended.status, ended.error) == (JobStatus.SUCCEEDED, "")
    experiment = Experiment.objects.get()
    assert experiment.primary_metric == primary
    assert not TrainingRun.objects.exists()
    page = alice.get(reverse("experiment", args=[experiment.team.slug, experiment.uid])).content.decode()
    assert experiment.conclusion_text in page.replace("&#x27;", "'")


@pytest.mark.django_db
def test_without_a_model_the_page_says_what_to_do(
    alice: Client, demo: tuple[Team, User], artifact_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.providers.entries.KNOWN_MODELS", ())
    version = version_of(*demo, count=60)
    page = alice.get(plan_page(version)).content.decode()
    assert "No local model is ready, so free baselines alone can be compared now." in page
    answer = alice.post(plan_page(version), {**filled(alice, version), "plain": "1", "baselines": ["nearest"]})
    assert answer.status_code == 422
    assert "Choose at least two candidates" in answer.content.decode()
    assert not ExperimentRun.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_without_a_model_the_proposal_taken_as_it_is_compares_the_free_baselines(
    alice: Client, demo: tuple[Team, User], artifact_folder: Path, spy: Spy, tmp_path: Path
) -> None:
    version = version_of(*demo, count=60)
    answer = alice.post(plan_page(version), filled(alice, version))
    assert answer.status_code == 302, answer.content.decode()
    ended = walk(ExperimentRun.objects.get(), tmp_path, spy)
    assert (ended.status, ended.error) == (JobStatus.SUCCEEDED, "")
    experiment = Experiment.objects.get()
    assert experiment.reference == experiment.candidates.get(name="Most frequent answer")
    assert experiment.conclusion_text


@pytest.mark.django_db
def test_data_without_a_test_row_starts_nothing(alice: Client, demo: tuple[Team, User], artifact_folder: Path) -> None:
    dataset = dataset_create(actor=demo[1], team=demo[0], name="One row", split_seed=3)
    version = dataset_version_create(actor=demo[1], dataset=dataset, pairs=[("only one", "row")])
    answer = alice.post(plan_page(version), filled(alice, version))
    assert answer.status_code == 422
    assert "no test rows, so there is nothing to test on" in answer.content.decode()
    assert not ExperimentRun.objects.exists()


@pytest.mark.django_db
def test_few_test_rows_are_named_with_what_they_cannot_show(
    alice: Client, demo: tuple[Team, User], base: LanguageModel
) -> None:
    version = version_of(*demo, count=60)
    assert version.test_count < 50
    page = alice.get(plan_page(version)).content.decode()
    assert f"{version.test_count} test rows are few" in page
    assert few_test_text(version.test_count) in page


@pytest.mark.django_db
def test_what_was_never_measured_is_not_estimated(demo: tuple[Team, User], base: LanguageModel) -> None:
    version = version_of(*demo, count=60)
    estimate = plan_estimate(version, base, {"plain": True, "tune": True, "preset": "balanced"})
    assert not estimate.known
    assert len(estimate.unknown) == 2
    assert not Evaluation.objects.exists()


def ended_training(base: LanguageModel, version: DatasetVersion, *, method: str = "lora", steps: float) -> TrainingRun:
    """40 rows once in `steps` seconds, and 20 s around them."""
    run: TrainingRun = factories.TrainingRunFactory.create(
        team=base.team, base_model=base, dataset_version=version, status=JobStatus.SUCCEEDED,
        predicted_low=1.0, predicted_high=2.0, spec={"method": method, "epochs": 1},
        result={
            "preflight": {"train_rows": 40}, "train_seconds": steps, "phase_seconds": {"train": steps, "merge": 20.0},
        },
    )  # fmt: skip
    return run


@pytest.mark.django_db
def test_what_another_team_measured_with_the_same_weights_counts_here(
    demo: tuple[Team, User], base: LanguageModel
) -> None:
    version = version_of(*demo, count=120)
    factories.PriceFactory.create()
    theirs = factories.LanguageModelFactory.create(kind="local", revision=base.revision)
    others = factories.LanguageModelFactory.create(kind="local", revision="other weights")
    for model, seconds in ((theirs, 30.0), (others, 9000.0)):
        candidate = factories.CandidateFactory.create(language_model=model, experiment__team=model.team)
        factories.EvaluationFactory.create(
            candidate=candidate, status=JobStatus.SUCCEEDED, total=60, work_seconds=seconds
        )

    estimate = plan_estimate(version, base, {"plain": True})

    answers = version.test_count * 0.5
    assert (estimate.seconds_low, estimate.seconds_high) == pytest.approx((0.7 * answers, 1.6 * answers))


TUNE_ALONE = {"tune": True, "preset": "quick", "name": "Split"}


@pytest.mark.django_db
def test_a_training_is_estimated_from_those_of_its_base_and_method(
    demo: tuple[Team, User], base: LanguageModel
) -> None:
    version = version_of(*demo, count=120)
    factories.PriceFactory.create()
    ended_training(base, version, steps=40.0)
    ended_training(base, version, steps=80.0)
    ended_training(base, version, method="full", steps=4000.0)

    estimate = plan_estimate(version, base, TUNE_ALONE)

    seconds = 1.5 * version.train_count + 20
    assert (estimate.seconds_low, estimate.seconds_high) == pytest.approx((0.7 * seconds, 1.6 * seconds))
    assert estimate.basis == ("The training is estimated from 2 trainings of Tiny here (LoRA).",)


@pytest.mark.django_db
def test_a_training_that_was_checked_is_told_as_it_was_measured(
    alice: Client, demo: tuple[Team, User], base: LanguageModel
) -> None:
    version = version_of(*demo, count=120)
    factories.PriceFactory.create()
    ended_training(base, version, steps=40.0)
    other = {"status": JobStatus.SUCCEEDED, "result": {"seconds_low": 1.0, "seconds_high": 2.0, "refusals": []}}
    factories.PreflightFactory.create(team=base.team, base_model=base, dataset_version=version, **other)
    spec = spec_of("lora", PRESETS["quick"], base)
    limits = preset_limits(PRESETS["quick"], train_count=version.train_count)
    digest = plan_digest(base, version, prompt_spec_of(tuned_prompt("Split")).digest(), spec, limits)
    measured = {"seconds_low": 90.0, "seconds_high": 116.0, "refusals": []}
    factories.PreflightFactory.create(
        team=base.team, base_model=base, dataset_version=version, digest=digest, status=JobStatus.SUCCEEDED,
        result=measured,
    )  # fmt: skip

    estimate = plan_estimate(version, base, TUNE_ALONE)

    assert (estimate.seconds_low, estimate.seconds_high) == (90.0, 116.0)
    assert estimate.basis == ("The training was measured by a check of exactly this run.",)
    changed = {**filled(alice, version), **TUNE_ALONE, "plain": "", "few_shot": "", "estimate": "1"}
    page = alice.post(plan_page(version), changed).content.decode()
    assert "measured by a check of exactly this run" in page
    other_name = alice.post(plan_page(version), {**changed, "name": "Another"}).content.decode()
    assert "estimated from 1 training of Tiny here" in other_name


@pytest.mark.django_db
def test_without_a_training_checks_of_other_runs_are_the_basis(demo: tuple[Team, User], base: LanguageModel) -> None:
    version = version_of(*demo, count=120)
    parts = {"start": 10.0, "train": 20.0, "export": 30.0}
    result = {"seconds": parts, "seconds_low": 54.0, "seconds_high": 69.0, "examples": 10, "refusals": []}
    factories.PreflightFactory.create(team=base.team, base_model=base, status=JobStatus.SUCCEEDED, result=result)

    estimate = plan_estimate(version, base, TUNE_ALONE)

    assert estimate.seconds_low == pytest.approx(0.7 * (2 * version.train_count + 40))
    assert estimate.basis == ("The training is estimated from 1 check of another run of Tiny (LoRA).",)
    assert estimate.unknown == ("Tiny",)
    Price.objects.all().delete()
    unpriced = plan_estimate(version, base, TUNE_ALONE)
    assert (unpriced.seconds_high, unpriced.nanousd_high) == (estimate.seconds_high, 0)
    assert unpriced.unknown == ("Tiny", "the price of Tiny")


@pytest.mark.django_db
def test_what_a_preset_leaves_out_is_left_out_by_the_run_that_the_plan_makes(
    demo: tuple[Team, User], base: LanguageModel
) -> None:
    version = version_of(*demo, count=60)
    choice = base_choices(user=demo[1], team=demo[0])[0]
    values = {
        **proposal_for(version, choice).initial, "budget_nanousd": 1, "margin": 0.05, "alpha": 0.05, "preset": "quick",
    }  # fmt: skip
    assert plan_definition(version=version, base_model=base, values=values)["training_limits"] == {}
    version.train_count = 500
    assert plan_definition(version=version, base_model=base, values=values)["training_limits"] == {"max_examples": 200}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"format": "json", "fields": ["city", "zip"]}, "city, zip"),
        ({"format": "label", "labels": ["yes", "no"]}, "yes, no"),
        ({"format": "number"}, "one number"),
        ({"format": "text"}, "the answer alone"),
    ],
)
def test_the_instruction_says_what_an_answer_is(answer: dict[str, Any], said: str) -> None:
    assert said in suggested_instruction(answer)


@pytest.mark.django_db
def test_an_empty_instruction_is_refused_where_it_is_needed(
    alice: Client, demo: tuple[Team, User], base: LanguageModel
) -> None:
    version = version_of(*demo, count=60)
    answer = alice.post(plan_page(version), filled(alice, version, instruction="  "))
    assert answer.status_code == 422
    assert "Write the instruction" in answer.content.decode()


@pytest.mark.django_db
def test_an_instruction_that_cannot_be_read_is_refused_with_its_line(
    alice: Client, demo: tuple[Team, User], base: LanguageModel
) -> None:
    version = version_of(*demo, count=60)
    answer = alice.post(plan_page(version), filled(alice, version, instruction="Split it.\nUse {{ zipcode }} too."))
    assert answer.status_code == 422
    assert "Line 2" in answer.content.decode()
    assert "zipcode" in answer.content.decode()
    assert not ExperimentRun.objects.exists()
