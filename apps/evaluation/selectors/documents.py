"""Reads of evaluations, outputs and figures."""

import json
from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _

from apps.core.artifacts import get_bytes
from apps.core.errors import NotFound
from apps.evaluation.models import Evaluation, Leaderboard, Output
from apps.evaluation.reading import final_evaluations
from apps.experiments.models import Experiment


def leaderboard_document(experiment: Experiment) -> dict[str, Any]:
    """The figures so far; empty before the first evaluation ended."""
    document = Leaderboard.objects.filter(experiment=experiment).values_list("document", flat=True).first()
    return dict(document or {})


def recommended_text(conclusion: Mapping[str, Any]) -> str | None:
    """Whom a final conclusion recommends: one candidate, or those between whom their costs do not decide."""
    name = conclusion.get("recommended") if conclusion.get("final") else None
    also = ", ".join(conclusion.get("also_recommended", []))
    return _("%(name)s or %(also)s") % {"name": name, "also": also} if name and also else name


def report_document(experiment: Experiment) -> dict[str, Any]:
    """The stored report. NotFound until the experiment is finished."""
    if not experiment.report_artifact:
        raise NotFound(_("The report is written when every evaluation has ended."))
    document: dict[str, Any] = json.loads(get_bytes(experiment.report_artifact))
    return document


def evaluations_by_candidate(experiment: Experiment) -> dict[int, Evaluation]:
    return final_evaluations(experiment)


def outputs_of(experiment: Experiment, example_ids: list[str]) -> dict[str, dict[str, Output]]:
    """Final outputs of the given examples: example id → candidate name → output, with scores."""
    found = (
        Output.objects.filter(
            evaluation__experiment=experiment,
            evaluation__purpose=Evaluation.Purpose.FINAL,
            example_id__in=example_ids,
            repeat=0,
        )
        .select_related("evaluation__candidate")
        .prefetch_related("scores")
    )
    table: dict[str, dict[str, Output]] = {id_: {} for id_ in example_ids}
    for output in found:
        table[output.example_id][output.evaluation.candidate.name] = output
    return table
