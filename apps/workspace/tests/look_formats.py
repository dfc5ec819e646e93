"""Fictional experiments whose answers are a label and free text, finished: other metrics, named and shown."""

import random
from typing import Any

from django.urls import reverse

from apps.accounts.models import Team, User
from apps.billing.calls import MeteredResult
from apps.core.models import JobStatus
from apps.evaluation.engine.metrics import scoring_for
from apps.evaluation.models import Evaluation
from apps.evaluation.services.evaluations import final_evaluation_create
from apps.evaluation.services.leaderboards import leaderboard_refresh
from apps.evaluation.services.reports import report_create
from apps.evaluation.services.scoring import output_store
from apps.experiments import rows
from apps.experiments.models import Experiment
from apps.experiments.services.baselines import NAMES, baseline_model
from apps.experiments.services.candidates import candidate_add
from apps.experiments.services.datasets import dataset_create, dataset_version_create
from apps.experiments.services.experiments import experiment_create, experiment_register
from apps.providers.engine.baselines import baselines_for
from apps.providers.models import LanguageModel
from apps.providers.services import language_model_create
from apps.workspace.tests.look_rows import job_columns

ANSWERS: dict[str, dict[str, Any]] = {
    "label": {"format": "label", "labels": ["billing", "delivery", "praise"]},
    "text": {"format": "text"},
}
QUESTIONS = {
    "label": ("Sorting fictional messages", "Which desk should read a message: is a model needed to tell?"),
    "text": ("Summing up fictional messages", "Whose summary of a message is closest to ours?"),
}
# How often a candidate's answer is right; its others are partly or wholly wrong.
SKILL = {"Base model, plain prompt": 0.4, "Fine-tuned model": 0.85}
THINGS = ("kettle", "lamp", "umbrella", "paper boat", "clock")


def format_pages(owner: User, team: Team) -> list[dict[str, Any]]:
    """The pages of one experiment per format, in a team that has none yet."""
    pages = []
    for format_ in ANSWERS:
        made = _experiment(owner, team, format_)
        output = made.evaluations.all()[0].outputs.all()[0]
        page, name = [team.slug, made.uid], f"experiment-{format_}"
        pages += [
            {"name": name, "url": reverse("experiment", args=page)},
            {"name": f"{name}-outputs", "url": reverse("experiment_outputs", args=page)},
            {"name": f"{name}-output", "url": reverse("experiment_output", args=[*page, output.example_id])},
        ]
    return pages


def _pair(format_: str, n: int) -> tuple[str, str]:
    pick = random.Random(n)  # noqa: S311 - a repeatable fiction
    thing, label = pick.choice(THINGS), pick.choice(["billing", "delivery", "praise"])
    said = {
        "billing": f"I was charged twice for {thing} number {n}. Please look into it.",
        "delivery": f"The {thing} of order {n} has not arrived. Where is it now?",
        "praise": f"Thank you for the {thing} of order {n}! It looks lovely in our hall.",
    }[label]
    summed_up = {
        "billing": f"The customer was charged twice for {thing} {n}.",
        "delivery": f"The {thing} of order {n} has not arrived.",
        "praise": f"The customer is happy with the {thing} of order {n}.",
    }[label]
    return said, label if format_ == "label" else summed_up


def _experiment(owner: User, team: Team, format_: str) -> Experiment:
    answer, (name, question) = ANSWERS[format_], QUESTIONS[format_]
    dataset = dataset_create(actor=owner, team=team, name=f"Fictional messages, {format_}", split_seed=1)
    pairs = [_pair(format_, n) for n in range(300)]
    version = dataset_version_create(actor=owner, dataset=dataset, pairs=pairs, answer=answer)
    scoring = scoring_for(answer)
    experiment = experiment_create(
        actor=owner,
        team=team,
        name=name,
        question=question,
        dataset_version=version,
        metrics=list(scoring.metrics),
        primary_metric=scoring.primary,
        margin=0.05,
        alpha=0.05,
        bootstrap_seed=1,
    )
    models = [
        baseline_model(actor=owner, team=team, dataset_version=version, method=method)
        for method in baselines_for(answer)
    ]
    candidates = [_candidate(owner, experiment, model.name, "baseline", model) for model in models]
    for name in SKILL:
        served = f"{format_}-{len(candidates)}"
        model = language_model_create(
            actor=owner,
            team=team,
            name=f"Fictional-135M {served}",
            kind=LanguageModel.Kind.LOCAL,
            served_name=served,
            state=LanguageModel.State.READY,
            revision="fedcba9876543210",
            artifact="models/fictional-135m",
            context_length=2048,
        )
        candidates.append(_candidate(owner, experiment, name, "prompted", model))
    experiment_register(actor=owner, experiment=experiment, reference=candidates[-1])
    for candidate in experiment.candidates.order_by("position"):
        _evaluate(owner, final_evaluation_create(actor=owner, candidate=candidate, order_seed=3), answer)
    leaderboard_refresh(actor=owner, experiment=experiment)
    report_create(actor=owner, experiment=experiment, training={}, seconds={}, memory_mib={}, versions={})
    return experiment


def _candidate(owner: User, experiment: Experiment, name: str, kind: str, model: LanguageModel) -> Any:
    return candidate_add(
        actor=owner,
        experiment=experiment,
        name=name,
        kind=kind,
        language_model=model,
        prompt_version=None,
        parameters={"max_tokens": 40, "temperature": 0.0},
    )


def _evaluate(owner: User, evaluation: Evaluation, answer: dict[str, Any]) -> None:
    pick = random.Random(evaluation.candidate.name)  # noqa: S311 - a repeatable fiction
    examples = rows.rows_for_evaluation(evaluation)
    for id_ in evaluation.example_ids:
        text = _answer(examples[id_].expected, SKILL.get(evaluation.candidate.name, 0.6), answer, pick)
        if evaluation.candidate.name == NAMES["most_frequent"]:
            text = "billing" if answer["format"] == "label" else "The kettle of order 1 has not arrived."
        free = evaluation.candidate.kind == "baseline"
        latency = pick.uniform(0.1, 2) if free else pick.uniform(300, 1900)
        cost = 0 if free else round(latency * 28)
        result = MeteredResult(
            text=text,
            finish_reason="stop",
            latency_ms=latency,
            original_latency_ms=latency,
            cost_nanousd=cost,
            original_cost_nanousd=cost,
            prompt_tokens=60,
            completion_tokens=12,
        )
        output_store(actor=None, evaluation=evaluation, example=examples[id_], repeat=0, result=result)
    total = len(evaluation.example_ids)
    columns = job_columns(JobStatus.SUCCEEDED, done=total, total=total, phase="")
    Evaluation.objects.filter(pk=evaluation.pk).update(**columns)


def _answer(expected: str, skill: float, answer: dict[str, Any], pick: random.Random) -> str:
    if pick.random() < skill:
        return expected
    if answer["format"] == "label":
        return pick.choice(["billing", "delivery", "praise", "This message is about billing."])
    words = expected.rstrip(".").split()
    return " ".join(words[pick.randint(0, 3) :]) + pick.choice([".", ", it seems.", ""])
