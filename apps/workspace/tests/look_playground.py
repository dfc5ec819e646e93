"""What was asked in the playground: answers, one that broke off, one that a budget refused, one that cost nothing."""

from typing import Any

from django.urls import reverse

from apps.accounts.models import Team, User
from apps.core.models.base import new_uid
from apps.experiments import rows
from apps.experiments.models import DatasetVersion, PromptVersion
from apps.providers.models import LanguageModel
from apps.workspace.models import PlaygroundAnswer, PlaygroundRun
from apps.workspace.services.playground import playground_run_create
from apps.workspace.tests.look_prompts import NAME, SECOND

REFUSED = (
    "The monthly budget of the team has no room for this call: $4.21 is spent, $0.62 held, of $5.00. "
    "The call needs up to $0.19."
)


def look_playground(version: DatasetVersion, owner: User, state: str) -> None:
    """A run on a validation row; in the full state with six candidates, else with two."""
    team = version.dataset.team
    row = rows.validation_rows(version)[0]
    prompt = PromptVersion.objects.filter(prompt__team=team, prompt__name=NAME).order_by("-number").first()
    models = list(LanguageModel.objects.filter(team=team, state="ready").exclude(kind="baseline").order_by("id"))
    if not models:
        return
    count = 6 if state == "full" else 2
    values = [str(models[place % len(models)].uid) for place in range(count)]
    candidates = [_candidate(prompt if place % 2 == 0 else None, place) for place in range(count)]
    example = {"version": str(version.uid), "row": row.id, "split": "validation", "number": 1}
    setup = {"input": row.input, "columns": {}, "example": example, "candidates": candidates}
    run = playground_run_create(actor=owner, team=team, models=values, setup=setup)
    sixth = {"text": row.expected[: len(row.expected) // 2], "finish_reason": "length"}
    answers: list[dict[str, Any]] = [
        {"text": row.expected, "cost_nanousd": 41_200, "latency_ms": 812.4, "first_piece_ms": 208.0, "assumed": True},
        {
            "text": row.expected.replace("A", "E"),
            "cost_nanousd": 193_600,
            "latency_ms": 1_431.0,
            "first_piece_ms": 640.0,
        },
        {"error": REFUSED, "error_code": "budget_exceeded"},
        {"text": row.expected, "cached": True, "saved_nanousd": 88_100, "latency_ms": 2.1},
        {"text": row.expected[:20], "error": "The server closed the connection.", "error_code": "connection"},
        {**sixth, "cost_nanousd": 310_000, "latency_ms": 2_044.0, "bounded": True},
    ]
    for number, facts in enumerate(answers[:count], start=1):
        booked = (
            {} if "error" in facts else {"generation_uid": new_uid(), "prompt_tokens": 143, "completion_tokens": 38}
        )
        PlaygroundAnswer.objects.create(run=run, number=number, model_name="Fictional", **booked, **facts)


def _candidate(prompt: PromptVersion | None, place: int) -> dict[str, Any]:
    if prompt is not None and place == 0:
        return {"prompt": str(prompt.uid), "messages": prompt.messages, "max_tokens": 96, "temperature": 0}
    messages = [{"role": "system", "content": SECOND}] if place % 2 else []
    return {
        "prompt": "",
        "messages": [*messages, {"role": "user", "content": "{{ input }}"}],
        "max_tokens": 96,
        "temperature": 0.7 if place == 5 else 0,
    }


def playground_pages(team: Team) -> list[tuple[str, str]]:
    run = PlaygroundRun.objects.filter(team=team).first()
    pages = [("playground", reverse("playground", args=[team.slug]))]
    return pages if run is None else [*pages, ("playground-run", reverse("playground_run", args=[team.slug, run.uid]))]
