"""The leaderboard of an experiment: one row per contender, with its figures or with where its test stands."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from apps.core.jobs import ENDED
from apps.core.models import JobStatus
from apps.evaluation.figures import (
    NOTHING,
    Shown,
    cost_text,
    interval_figures,
    latency_text,
    metric_text,
    shown,
)
from apps.evaluation.models import Evaluation
from apps.evaluation.reading import final_evaluations
from apps.evaluation.selectors.documents import leaderboard_document
from apps.experiments.models import Candidate, Experiment
from apps.experiments.selectors import contenders
from apps.providers.models import LanguageModel


@dataclass(frozen=True)
class BoardRow:
    """One contender. `state` is `waiting`, `training`, `no_model`, `running`, `paused`, `computing`, `failed`,
    `cancelled` or `done`; only a row that is done has figures."""

    candidate: Candidate
    evaluation: Evaluation | None
    state: str
    reference: bool
    recommended: bool
    constant: bool = False
    cost_assumed: bool = False
    n: int | None = None
    primary: Shown = NOTHING
    others: list[Shown] = field(default_factory=list)
    cost: Shown = NOTHING
    p50: Shown = NOTHING
    p95: Shown = NOTHING

    @property
    def done(self) -> bool:
        return self.state == "done"

    @property
    def total(self) -> int:
        return self.evaluation.total if self.evaluation is not None else 0


@dataclass(frozen=True)
class Board:
    """The rows, the reference first, with the document that their figures come from."""

    rows: list[BoardRow]
    document: dict[str, Any]
    primary: str
    other_metrics: list[str]
    answer: Mapping[str, Any]

    @property
    def cost_assumed(self) -> bool:
        return any(row.cost_assumed for row in self.rows)

    @property
    def training_run(self) -> str | None:
        """Public id of the run that made a candidate's model, as the model froze it."""
        facts = [row.candidate.language_model.facts for row in self.rows]
        return next((str(each["run"]) for each in facts if each.get("run")), None)

    @property
    def ended(self) -> int:
        return sum(row.done or row.state in ("failed", "cancelled") for row in self.rows)

    @property
    def recommended(self) -> BoardRow | None:
        return next((row for row in self.rows if row.recommended), None)


def board(experiment: Experiment) -> Board:
    """Rows of an experiment: the reference, then by the primary metric once all have ended, else as registered."""
    document = leaderboard_document(experiment)
    figures = {row["name"]: row for row in document.get("candidates", [])}
    conclusion = document.get("conclusion", {})
    evaluations = final_evaluations(experiment)
    others = [name for name in experiment.metrics if name != experiment.primary_metric]
    rows = [
        _row(
            candidate,
            evaluations.get(candidate.pk),
            figures.get(candidate.name, {}),
            experiment=experiment,
            recommended=conclusion.get("recommended") if conclusion.get("final") else None,
            others=others,
        )
        for candidate in contenders(experiment)
    ]
    final = bool(conclusion.get("final"))
    rows.sort(key=lambda row: (not row.reference, -(row.primary.value or 0.0) if final else 0.0))
    return Board(
        rows=rows,
        document=document,
        primary=experiment.primary_metric,
        other_metrics=others,
        answer=experiment.answer,
    )


def _row(
    candidate: Candidate,
    evaluation: Evaluation | None,
    figures: Mapping[str, Any],
    *,
    experiment: Experiment,
    recommended: str | None,
    others: list[str],
) -> BoardRow:
    state = _state(candidate, evaluation, figures)
    row: dict[str, Any] = {
        "candidate": candidate,
        "evaluation": evaluation,
        "state": state,
        "reference": candidate.pk == experiment.reference_id,
        "recommended": candidate.name == recommended,
    }
    if state != "done":
        return BoardRow(**row)
    metrics = figures["metrics"]
    primary = shown(metrics.get(experiment.primary_metric), metric_text(experiment.primary_metric, experiment.answer))
    p50, p95 = interval_figures(figures)
    return BoardRow(
        **row,
        constant=bool(figures.get("constant_output")),
        cost_assumed=bool(figures.get("cost_assumed")),
        n=primary.n,
        primary=primary,
        others=[shown(metrics.get(name), metric_text(name, experiment.answer), row_n=primary.n) for name in others],
        cost=shown(figures.get("cost"), cost_text, row_n=primary.n),
        p50=shown(p50, latency_text, row_n=primary.n),
        p95=shown(p95, latency_text, row_n=primary.n),
    )


def _state(candidate: Candidate, evaluation: Evaluation | None, figures: Mapping[str, Any]) -> str:
    if evaluation is None:
        of_model: dict[str, str] = {LanguageModel.State.PLANNED: "training", LanguageModel.State.FAILED: "no_model"}
        return of_model.get(candidate.language_model.state, "waiting")
    if evaluation.status == JobStatus.SUCCEEDED:
        return "done" if figures.get("metrics") else "computing"
    if evaluation.status in ENDED or evaluation.status == JobStatus.PAUSED:
        return str(evaluation.status)
    started = evaluation.status == JobStatus.RUNNING or evaluation.done
    return "running" if started else "waiting"
