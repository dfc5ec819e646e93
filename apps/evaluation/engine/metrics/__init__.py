"""The metrics by name. To add one: write its file beside these and list it here."""

from apps.evaluation.engine.metrics import exact_match, field_f1, valid_rate
from apps.evaluation.engine.metrics.base import Metric
from apps.evaluation.engine.metrics.json_answer import AnswerScore, score_answer

METRICS: dict[str, Metric] = {
    metric.name: metric for metric in (field_f1.METRIC, exact_match.METRIC, valid_rate.METRIC)
}

__all__ = ["METRICS", "AnswerScore", "Metric", "score_answer"]
