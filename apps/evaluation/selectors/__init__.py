"""Reads of evaluations, outputs and figures."""

from apps.evaluation.selectors.board import board
from apps.evaluation.selectors.costs import candidate_costs, candidate_prices, experiment_costs
from apps.evaluation.selectors.definition import candidate_definitions, definition_holds, trials
from apps.evaluation.selectors.documents import (
    evaluations_by_candidate,
    leaderboard_document,
    outputs_of,
    recommended_text,
    report_document,
)
from apps.evaluation.selectors.evaluations import evaluations
from apps.evaluation.selectors.examples import (
    answered_example,
    answered_examples,
    evaluation_outputs,
    latest_output,
    neighbours,
    telling_examples,
)
from apps.evaluation.selectors.lists import evaluation_for, experiment_rows, experiments_sorted
from apps.evaluation.selectors.states import shown_states
from apps.evaluation.selectors.warnings import looks_at_test

__all__ = [
    "answered_example",
    "answered_examples",
    "board",
    "candidate_costs",
    "candidate_definitions",
    "candidate_prices",
    "definition_holds",
    "evaluation_for",
    "evaluation_outputs",
    "evaluations",
    "evaluations_by_candidate",
    "experiment_costs",
    "experiment_rows",
    "experiments_sorted",
    "latest_output",
    "leaderboard_document",
    "looks_at_test",
    "neighbours",
    "outputs_of",
    "recommended_text",
    "report_document",
    "shown_states",
    "telling_examples",
    "trials",
]
