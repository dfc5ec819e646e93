"""Rows that workers would have left behind, plainly fictional: what the teams of look_world.py are made of."""

import json
import random
from datetime import timedelta
from typing import Any

from django.utils import timezone

from apps.billing.calls import MeteredResult
from apps.core.models import JobStatus
from apps.evaluation.models import Evaluation
from apps.evaluation.services.scoring import output_store
from apps.experiments import rows
from apps.workspace.quickstart.steps import STEPS

FIELDS = ["recipient", "number", "street", "unit", "city", "state", "zip"]


def address(n: int) -> tuple[str, str]:
    """An address of a place that does not exist, and its fields as JSON."""
    pick = random.Random(n)  # noqa: S311 - a repeatable fiction
    answer = {
        "recipient": pick.choice(["", "", "Example Tea Company", "N. O. Body", "Museum of Nothing in Particular"]),
        "number": str(pick.randint(1, 9999)),
        "street": " ".join(
            pick.choice(words) for words in (["N", "S"], ["Sample", "Fiction", "Nowhere"], ["St", "Ave"])
        ),
        "unit": pick.choice(["", "", f"Apt {pick.randint(1, 40)}", f"Suite {pick.randint(100, 900)}"]),
        "city": pick.choice(["Exampleton", "Placeholder Springs", "Nulltown"]),
        "state": pick.choice(["ZZ", "QQ"]),
        "zip": f"{n:05d}",
    }
    kept = {name: value for name, value in answer.items() if value}
    return " ".join(kept.values()), json.dumps(kept, separators=(",", ":"))


def answer(expected: str, skill: float, pick: random.Random) -> str:
    """What a candidate would have answered, of whose fields a share of `skill` is right."""
    fields = json.loads(expected)
    if pick.random() > skill + 0.5:
        return "Here is the address you asked for: " + ", ".join(fields.values())
    kept = {name: value for name, value in fields.items() if pick.random() < skill} or {"city": fields["city"]}
    return json.dumps(kept, separators=(",", ":"))


def evaluate(evaluation: Evaluation, *, skill: float, share: float = 1.0, status: str = JobStatus.SUCCEEDED) -> None:
    """Answers for the first `share` of the evaluation's rows, as good as `skill`, and the row in `status`."""
    examples = rows.rows_for_evaluation(evaluation)
    ids = evaluation.example_ids[: round(len(evaluation.example_ids) * share)]
    pick = random.Random(evaluation.candidate.name)  # noqa: S311 - a repeatable fiction
    for id_ in ids:
        text = answer(examples[id_].expected, skill, pick)
        latency = pick.uniform(2, 9) if evaluation.candidate.kind == "baseline" else pick.uniform(300, 1900)
        result = MeteredResult(
            text=text,
            finish_reason="stop",
            latency_ms=latency,
            original_latency_ms=latency,
            cost_nanousd=round(latency * 28),
            original_cost_nanousd=round(latency * 28),
            prompt_tokens=60,
            completion_tokens=len(text) // 4,
        )
        output_store(actor=None, evaluation=evaluation, example=examples[id_], repeat=0, result=result)
    phase = "" if status == JobStatus.SUCCEEDED else "generating"
    columns = job_columns(status, done=len(ids), total=len(evaluation.example_ids), phase=phase)
    Evaluation.objects.filter(pk=evaluation.pk).update(**columns)


def step_times(done: int) -> dict[str, dict[str, str]]:
    """When each step of the quickstart began and ended; the one after the last finished one is at work."""
    start = timezone.now() - timedelta(minutes=9)
    times: dict[str, dict[str, str]] = {}
    for position, step in enumerate(STEPS[: done + 1]):
        times[step.name] = {"started": start.isoformat()}
        start += timedelta(seconds=5 + 11 * position)
        if position < done:
            times[step.name]["finished"] = start.isoformat()
    return times


def job_columns(status: str, **more: Any) -> dict[str, Any]:
    """The columns of a job row in `status`, as its worker would have left them."""
    now = timezone.now()
    columns: dict[str, Any] = {"status": status, "attempt": 1, "queued_at": now - timedelta(minutes=6)}
    columns |= {"started_at": now - timedelta(minutes=5), "heartbeat_at": now - timedelta(seconds=2)}
    if status == JobStatus.RUNNING:
        columns |= {"seconds_left_low": 120.0, "seconds_left_high": 200.0}
    else:
        columns |= {"finished_at": now}
    if status == JobStatus.FAILED:
        columns |= {
            "error": "The process that ran this job died 5 times.",
            "error_kept": "Everything finished before that is kept.",
            "error_next": "Look at the log, then press Retry.",
        }
    return columns | more
