"""Valid rate: the output is one strict JSON object of strings and numbers."""

from apps.core.engine.messages import gettext_noop
from apps.evaluation.engine.metrics.base import Metric
from apps.evaluation.engine.metrics.json_answer import AnswerScore


def _counts(score: AnswerScore) -> tuple[int, ...]:
    return int(score.valid), 1


METRIC = Metric(
    name="valid_rate",
    label=gettext_noop("valid JSON rate"),
    version=1,
    signature="valid_rate|v:1|format:rfc8259-object|duplicate:invalid|nan:invalid|values:string-or-number",
    unit="",
    kind="binary",
    higher_is_better=True,
    help=gettext_noop(
        "Share of outputs whose whole text is one JSON object (RFC 8259) with no repeated key and only strings"
        " and numbers as values. Text around the object makes it invalid."
    ),
    counts=_counts,
)
