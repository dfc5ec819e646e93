"""Metrics of JSON answers: field F1, exact match, valid rate."""

from apps.core.engine.messages import gettext_noop
from apps.evaluation.engine.metrics.base import Metric, Scoring
from apps.evaluation.engine.metrics.json_answer import AnswerScore, score_answer
from apps.evaluation.engine.stats.bootstrap import micro_f1_of


def _field_counts(score: AnswerScore) -> tuple[int, ...]:
    return score.tp, score.predicted, score.gold


def _exact(score: AnswerScore) -> tuple[int, ...]:
    return int(score.exact), 1


def _valid(score: AnswerScore) -> tuple[int, ...]:
    return int(score.valid), 1


FIELD_F1 = Metric(
    name="field_f1",
    label=gettext_noop("field F1"),
    version=1,
    signature="field_f1|v:1|format:rfc8259-object|fold:nfc+space|case:kept|pairs:multiset|average:micro|invalid:empty",
    unit="",
    kind="corpus",
    higher_is_better=True,
    help=gettext_noop(
        "2·TP / (2·TP + FP + FN), counted over the fields of all answers together. A field counts when its name"
        " is the same and its value is the same after Unicode normalisation and space folding. An answer that"
        " is not valid JSON counts as empty."
    ),
    counts=_field_counts,
    width=3,
    # 2·TP / (predicted + gold); 1 when there is no pair on either side.
    corpus=micro_f1_of,
    formula="Field F1 of a resample = 2*TP / (predicted + gold) of the sums over its units, 1 if both are 0",
)
EXACT_MATCH = Metric(
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
    counts=_exact,
)
VALID_RATE = Metric(
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
    counts=_valid,
)
SCORING = Scoring(
    format="json",
    metrics={metric.name: metric for metric in (FIELD_F1, EXACT_MATCH, VALID_RATE)},
    primary="field_f1",
    score=score_answer,
)
