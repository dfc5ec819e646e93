"""Test examples with what every candidate answered. They may be read here because results exist."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, F, Max, Min, Q, QuerySet
from django.utils.translation import gettext as _

from apps.core.errors import NotFound
from apps.core.models import JobStatus
from apps.core.textdiff import FieldDifference, field_differences
from apps.evaluation.figures import invalid_text
from apps.evaluation.models import Evaluation, Output, Score
from apps.evaluation.selectors.documents import outputs_of
from apps.experiments import rows
from apps.experiments.engine.rows import Example
from apps.experiments.models import Experiment
from apps.experiments.selectors import contenders

SHORT = 240
FILTERS = ("all", "disagree", "wrong", "candidate")


@dataclass(frozen=True)
class Answer:
    """One candidate's first answer to an example, with its scores by metric."""

    candidate: Any
    output: Output | None
    reference: bool
    scores: dict[str, Score]
    primary: float | None
    valid: bool | None
    invalid_text: str
    differences: list[FieldDifference] | None

    @property
    def right(self) -> bool | None:
        """Whether everything is right; None without a score."""
        return None if self.primary is None else self.primary >= 1.0

    @property
    def failed(self) -> str:
        return self.output.error if self.output is not None else ""

    @property
    def short_text(self) -> str:
        text = self.output.text if self.output is not None else ""
        return text if len(text) <= SHORT else f"{text[:SHORT]}…"

    @property
    def wrong_fields(self) -> list[FieldDifference]:
        return [field for field in self.differences or [] if field.state != "same"]


@dataclass(frozen=True)
class AnsweredExample:
    number: int
    example: Example
    answers: list[Answer]


def answered_examples(
    experiment: Experiment, *, which: str = "all", candidate: str = "", offset: int = 0, limit: int = 10
) -> tuple[list[AnsweredExample], int]:
    """A page of the test examples that have an answer, in the order of their ids, and how many there are.

    which: `disagree` (the candidates' primary scores differ), `wrong` (no candidate is all right), `candidate` (the
    named one is not all right), else all.
    """
    found = _filtered(_final_outputs(experiment), experiment, which, candidate)
    ids = found.order_by("example_id").values_list("example_id", flat=True)
    return _read(experiment, list(ids[offset : offset + limit])), found.count()


def answered_example(experiment: Experiment, example_id: str) -> AnsweredExample:
    """One test example with every answer. NotFound unless a final test has answered it."""
    read = _read(experiment, [example_id])
    if not read:
        raise NotFound(_("No final test of this experiment has answered this example."))
    return read[0]


def neighbours(experiment: Experiment, example_id: str) -> tuple[str | None, str | None]:
    """Ids before and after an example in the list of all."""
    ids = _final_outputs(experiment).values_list("example_id", flat=True)
    before = ids.filter(example_id__lt=example_id).aggregate(found=Max("example_id"))["found"]
    after = ids.filter(example_id__gt=example_id).aggregate(found=Min("example_id"))["found"]
    return before, after


def telling_examples(experiment: Experiment, *, count: int = 5) -> list[AnsweredExample]:
    """The examples on which the primary scores of finished candidates differ most.

    The measure is the variance of the scores over candidates, so that a half-and-half split comes first; equal ones
    come in the order of their ids. Empty while fewer than two candidates are finished.
    """
    scores: dict[str, list[float]] = defaultdict(list)
    found = Score.objects.filter(
        output__evaluation__experiment=experiment,
        output__evaluation__purpose=Evaluation.Purpose.FINAL,
        output__evaluation__status=JobStatus.SUCCEEDED,
        output__repeat=0,
        metric=experiment.primary_metric,
        value__isnull=False,
    )
    for example_id, value in found.values_list("output__example_id", "value"):
        scores[example_id].append(float(value or 0.0))
    ranked = sorted(scores, key=lambda id_: (-_variance(scores[id_]), id_))
    return _read(experiment, [id_ for id_ in ranked[:count] if _variance(scores[id_]) > 0])


def _variance(values: Sequence[float]) -> float:
    """Rounded, so that the order does not hang on the last bit of a sum."""
    mean = sum(values) / len(values)
    return round(sum((value - mean) ** 2 for value in values) / len(values), 9)


def latest_output(experiment: Experiment) -> tuple[Output, Example | None] | None:
    """The output that was stored last, of whatever evaluation of the experiment, with its example."""
    output = (
        Output.objects.filter(evaluation__experiment=experiment)
        .select_related("evaluation__candidate", "evaluation__experiment__dataset_version")
        .prefetch_related("scores")
        .order_by("-id")
        .first()
    )
    if output is None:
        return None
    return output, rows.rows_for_evaluation(output.evaluation).get(output.example_id)


def evaluation_outputs(
    evaluation: Evaluation, *, offset: int = 0, limit: int = 25
) -> tuple[list[tuple[Output, Example | None, float | None]], int]:
    """Outputs of one evaluation, newest first, each with its example and its primary score."""
    found = evaluation.outputs.order_by("-id")
    outputs = list(found.prefetch_related("scores")[offset : offset + limit])
    examples = rows.rows_for_evaluation(evaluation) if outputs else {}
    primary = evaluation.experiment.primary_metric
    return [
        (output, examples.get(output.example_id), _value(output.scores.all(), primary)) for output in outputs
    ], found.count()


def _value(scores: Iterable[Score], metric: str) -> float | None:
    return next((score.value for score in scores if score.metric == metric), None)


def _final_outputs(experiment: Experiment) -> QuerySet[Any]:
    return Output.objects.filter(
        evaluation__experiment=experiment, evaluation__purpose=Evaluation.Purpose.FINAL, repeat=0
    )


def _filtered(found: QuerySet[Any], experiment: Experiment, which: str, candidate: str) -> QuerySet[Any]:
    """Ids of examples, grouped; conditions on scores count only answers that have one."""
    primary = Q(scores__metric=experiment.primary_metric)
    if which == "disagree":
        grouped = found.filter(primary).values("example_id")
        lowest, highest = Min("scores__value"), Max("scores__value")
        return grouped.annotate(lowest=lowest, highest=highest).filter(lowest__lt=F("highest"))
    if which == "wrong":
        return found.filter(primary).values("example_id").annotate(highest=Max("scores__value")).filter(highest__lt=1)
    if which == "candidate":
        wrong = found.filter(primary, evaluation__candidate__name=candidate, scores__value__lt=1)
        return wrong.values("example_id").annotate(answers=Count("id"))
    return found.values("example_id").annotate(answers=Count("id"))


def _read(experiment: Experiment, ids: list[str]) -> list[AnsweredExample]:
    if not ids:
        return []
    evaluation = experiment.evaluations.filter(purpose=Evaluation.Purpose.FINAL, outputs__isnull=False).first()
    if evaluation is None:
        return []
    examples = rows.rows_for_evaluation(evaluation)
    table = outputs_of(experiment, ids)
    order = {id_: number for number, id_ in enumerate(sorted(evaluation.example_ids), start=1)}
    candidates = contenders(experiment)
    candidates.sort(key=lambda candidate: candidate.pk != experiment.reference_id)
    return [
        AnsweredExample(
            number=order[id_],
            example=examples[id_],
            answers=[_answer(experiment, one, table[id_].get(one.name), examples[id_]) for one in candidates],
        )
        for id_ in ids
        if id_ in examples
    ]


def _answer(experiment: Experiment, candidate: Any, output: Output | None, example: Example) -> Answer:
    scores = {score.metric: score for score in output.scores.all()} if output is not None else {}
    primary, valid = scores.get(experiment.primary_metric), scores.get("valid_rate")
    return Answer(
        candidate=candidate,
        output=output,
        reference=candidate.pk == experiment.reference_id,
        scores=scores,
        primary=primary.value if primary is not None else None,
        valid=bool(valid.value) if valid is not None and valid.value is not None else None,
        invalid_text=invalid_text(experiment.answer),
        differences=field_differences(example.expected, output.text) if output is not None else None,
    )
