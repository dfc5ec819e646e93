"""Exact match: the parsed answer equals the expected one."""

from apps.core.engine.messages import gettext_noop
from apps.evaluation.engine.metrics.base import Metric
from apps.evaluation.engine.metrics.json_answer import AnswerScore


def _counts(score: AnswerScore) -> tuple[int, ...]:
    return int(score.exact), 1


METRIC = Metric(
    name="exact_match",
    label=gettext_noop("exact match"),
    version=1,
    signature="exact_match|v:1|format:rfc8259-object|fold:nfc+space|case:kept|order:ignored|invalid:wrong",
    unit="",
    kind="binary",
    higher_is_better=True,
    help=gettext_noop(
        "Share of answers whose fields all equal the expected ones, whatever their order, after Unicode"
        " normalisation and space folding of the values. An answer that is not valid JSON counts as wrong."
    ),
    counts=_counts,
)
