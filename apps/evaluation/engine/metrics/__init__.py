"""The metrics, by the format of the answers. `scoring_for` is the one place that decides."""

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from apps.evaluation.engine.metrics import json_metrics, text_answer
from apps.evaluation.engine.metrics.base import Metric, Scored, Scoring
from apps.evaluation.engine.metrics.label_answer import label_scoring
from apps.evaluation.engine.metrics.number_answer import number_scoring

FORMATS = ("json", "label", "text", "number")

__all__ = ["FORMATS", "Metric", "Scored", "Scoring", "scoring_for"]


def scoring_for(answer: Mapping[str, Any]) -> Scoring:
    """Metrics, default primary metric and scorer for what an answer is, in the form of `Experiment.answer`.

    An experiment that says nothing is older than the formats and has JSON answers. Equal answers give the same object.
    Raises ValueError for an unknown format, fewer than two labels or a tolerance below 0.
    """
    return _scoring(json.dumps(dict(answer), sort_keys=True))


@lru_cache(maxsize=256)
def _scoring(spec: str) -> Scoring:
    answer = json.loads(spec)
    match answer.get("format", "json"):
        case "json":
            return json_metrics.SCORING
        case "label":
            return label_scoring(answer["labels"])
        case "text":
            return text_answer.SCORING
        case "number":
            return number_scoring(float(answer.get("tolerance", 0.0)))
        case unknown:
            raise ValueError(f"an answer is one of {', '.join(FORMATS)}, not {unknown!r}")
