"""Field F1: corpus micro-F1 over (key, value) pairs."""

from apps.core.engine.messages import gettext_noop
from apps.evaluation.engine.metrics.base import Metric
from apps.evaluation.engine.metrics.json_answer import AnswerScore


def micro_f1(tp: int, predicted: int, gold: int) -> float:
    """2·TP / (2·TP + FP + FN), which is 2·TP / (predicted + gold); 1 when there is no pair on either side."""
    return 1.0 if predicted + gold == 0 else 2 * tp / (predicted + gold)


def _counts(score: AnswerScore) -> tuple[int, ...]:
    return score.tp, score.predicted, score.gold


METRIC = Metric(
    name="field_f1",
    label=gettext_noop("field F1"),
    version=1,
    signature="field_f1|v:1|format:rfc8259-object|fold:nfc+space|case:kept|pairs:multiset|average:micro|invalid:empty",
    unit="",
    kind="corpus_f1",
    higher_is_better=True,
    help=gettext_noop(
        "2·TP / (2·TP + FP + FN), counted over the fields of all answers together. A field counts when its name"
        " is the same and its value is the same after Unicode normalisation and space folding. An answer that"
        " is not valid JSON counts as empty."
    ),
    counts=_counts,
)
