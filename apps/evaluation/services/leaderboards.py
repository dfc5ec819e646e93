"""Keeping the figures of an experiment up to date as its evaluations end."""

from typing import Any

from django.db import transaction
from django.db.models import F

from apps.core import live
from apps.core.access import require
from apps.core.jobs import ENDED
from apps.evaluation.engine.report import build_report
from apps.evaluation.models import Evaluation, Leaderboard
from apps.evaluation.reading import report_facts
from apps.experiments.models import Experiment

_TOO_LARGE_FOR_A_ROW = ("examples",)


def ended_count(experiment: Experiment) -> int:
    return int(experiment.evaluations.filter(purpose=Evaluation.Purpose.FINAL, status__in=ENDED).count())


def leaderboard_refresh(*, actor: Any, experiment: Experiment) -> bool:
    """Compute the figures of what has ended. False when a newer computation is stored already."""
    require(experiment, actor, "view")
    count = ended_count(experiment)
    document = without_outputs(build_report(report_facts(experiment)))
    with transaction.atomic():
        Leaderboard.objects.get_or_create(experiment=experiment)
        changed = bool(
            Leaderboard.objects.filter(experiment=experiment, ended_count__lte=count).update(
                document=document, ended_count=count
            )
        )
        if changed:
            live.publish(experiment, "leaderboard")
    return changed


def leaderboard_is_behind(experiment: Experiment) -> bool:
    """Whether an evaluation ended without its figures: its worker died between the two."""
    stored = Leaderboard.objects.filter(experiment=experiment).values_list(F("ended_count"), flat=True).first()
    return ended_count(experiment) > (stored or 0)


def without_outputs(report: dict[str, Any]) -> dict[str, Any]:
    """The report without its rows: what a page needs to show figures."""
    small = {key: value for key, value in report.items() if key not in _TOO_LARGE_FOR_A_ROW}
    small["candidates"] = [
        {key: value for key, value in row.items() if key != "outputs"} for row in report["candidates"]
    ]
    return small
