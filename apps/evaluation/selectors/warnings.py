"""What a reader must know beside the figures: looks at the test set, answers that failed or were cut off."""

from typing import Any

from django.db.models import Count, Q, QuerySet

from apps.evaluation.engine.facts import INFRASTRUCTURE
from apps.evaluation.engine.units import CUT_OFF
from apps.evaluation.models import Evaluation, Output, TestLook
from apps.evaluation.reading import dataset_looks
from apps.experiments.models import Experiment


def looks_at_test(experiment: Experiment) -> QuerySet[TestLook]:
    """Every look at the test rows of the experiment's dataset, by whatever experiment, oldest first."""
    return dataset_looks(experiment).select_related("experiment", "evaluation__candidate").order_by("id")


def truncated_counts(experiment: Experiment) -> dict[str, int]:
    """Candidate name → answers that ended at the token limit."""
    return _final_counts(experiment, Q(finish_reason=CUT_OFF))


def failure_counts(experiment: Experiment) -> dict[str, int]:
    """Candidate name → outputs that are the candidate's own failures: refused, too long, or without a prompt."""
    return _final_counts(experiment, ~Q(error__in=("", INFRASTRUCTURE)))


def _final_counts(experiment: Experiment, which: Q) -> dict[str, int]:
    found: Any = (
        Output.objects.filter(which, evaluation__experiment=experiment, evaluation__purpose=Evaluation.Purpose.FINAL)
        .values_list("evaluation__candidate__name")
        .annotate(count=Count("id"))
        .order_by("evaluation__candidate__name")
    )
    return dict(found)
