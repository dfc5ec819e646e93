"""The state of an experiment as a reader sees it."""

from collections.abc import Sequence

from apps.core.jobs import AT_WORK
from apps.evaluation.models import Evaluation
from apps.evaluation.reading import ENDED_BADLY
from apps.experiments.models import Candidate, Experiment
from apps.providers.models import LanguageModel


def shown_states(experiments: Sequence[Experiment]) -> dict[int, str]:
    """By experiment id: its own state, but `failed` where it cannot end without somebody's help.

    That is a registered experiment of which nothing is at work while an evaluation or a candidate's model has failed.
    """
    open_ids = [each.pk for each in experiments if each.state == Experiment.State.REGISTERED]
    at_work: set[int] = set()
    broken: set[int] = set()
    if open_ids:
        found = Evaluation.objects.filter(experiment__in=open_ids, status__in=AT_WORK | ENDED_BADLY)
        for experiment_id, status in found.order_by().values_list("experiment_id", "status"):
            (at_work if status in AT_WORK else broken).add(experiment_id)
        failed = Candidate.objects.filter(experiment__in=open_ids, language_model__state=LanguageModel.State.FAILED)
        broken.update(failed.order_by().values_list("experiment_id", flat=True))
    return {each.pk: _state(each, each.pk in broken - at_work) for each in experiments}


def _state(experiment: Experiment, stuck: bool) -> str:
    if experiment.state == Experiment.State.REGISTERED:
        return "failed" if stuck else "running"
    return str(experiment.state)
