"""The report of an experiment as JSON (`llmopt.report/1`), computed from frozen facts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import TypedDict

from apps.core.engine.messages import Translate, identity
from apps.evaluation.engine.compare import Comparison, compare_family
from apps.evaluation.engine.conclusion import (
    RULE,
    CostComparison,
    Recommendation,
    is_claimed,
    kind_of,
    recommend,
)
from apps.evaluation.engine.facts import (
    DONE,
    FAILED,
    CandidateFacts,
    DatasetFacts,
    ExperimentFacts,
    OutputFacts,
    ReportFacts,
)
from apps.evaluation.engine.measures import cost_estimate, estimate_json, latency_json, metric_json
from apps.evaluation.engine.metrics import Metric, Scoring, scoring_for
from apps.evaluation.engine.schemes import MULTIPLICITY, resampling_scheme
from apps.evaluation.engine.sentences import (
    Conclusion,
    Wording,
    comparison_sentence,
    conclude,
    looks_sentence,
    more_data_sentence,
    truncated_sentence,
)
from apps.evaluation.engine.stats.bootstrap import GENERATOR, Resampler
from apps.evaluation.engine.stats.power import SampleSize, examples_needed
from apps.evaluation.engine.stats.result import PairedResult
from apps.evaluation.engine.units import CandidateUnits, candidate_units, output_score
from apps.experiments.engine.resolution import few_rows_sentence

SCHEMA = "llmopt.report/1"
BASELINE = "baseline"


class MoreExamples(TypedDict):
    """What would decide an undecided comparison."""

    more: int
    total: int
    method: str
    cost_nanousd: int | None


@dataclass(frozen=True)
class Analysis:
    """Everything that the figures of a report rest on; made once, read by the report and by pages."""

    units: Mapping[str, CandidateUnits]
    comparisons: Sequence[Comparison]
    recommendation: Recommendation
    conclusion: Conclusion
    resampler: Resampler
    wording: Wording


def build_report(facts: ReportFacts, translate: Translate = identity) -> dict[str, object]:
    """The whole report. Every number is an unrounded double or an integer.

    Works on unfinished experiments too: a candidate whose state is not "done" has no figures, its comparisons hold
    nulls. Raises ValueError if names of candidates repeat, a metric is unknown, an expected answer is invalid, or an
    output belongs to no example.
    """
    analysis = analyse(facts, translate)
    return {
        "schema": SCHEMA,
        "experiment": experiment_json(facts.experiment),
        "dataset": dataset_json(facts.dataset),
        "examples": [{"id": row.id, "input": row.input, "expected": row.expected} for row in facts.examples],
        "candidates": [
            candidate_row(candidate, facts, analysis) | {"outputs": output_rows(candidate, facts)}
            for candidate in facts.candidates
        ],
        "comparisons": [comparison_row(item, facts, analysis) for item in analysis.comparisons],
        "conclusion": conclusion_json(analysis) | {"final": is_final(facts)},
        "notes": condition_notes(facts, analysis),
        "choices": [dict(choice) for choice in facts.choices],
        "training": dict(facts.training),
        "seconds": dict(facts.seconds),
        "memory_mib": dict(facts.memory_mib),
        "bootstrap": bootstrap_json(facts),
        "versions": dict(facts.versions),
    }


def experiment_json(experiment: ExperimentFacts) -> dict[str, object]:
    """The question as it was registered; `metrics` holds the signature of each, `looks` those at the test rows."""
    return {
        "uid": experiment.uid,
        "name": experiment.name,
        "primary_metric": experiment.primary_metric,
        "margin": experiment.margin,
        "alpha": experiment.alpha,
        "reference": experiment.reference,
        "family": [list(pair) for pair in experiment.family],
        "answer": dict(experiment.answer) or {"format": "json"},
        "metrics": {metric.name: metric.signature for metric in _metrics(experiment)},
        "registration_hash": experiment.registration_hash,
        "looks": {"total": experiment.looks, "by_other_experiments": experiment.other_looks},
    }


def dataset_json(dataset: DatasetFacts) -> dict[str, object]:
    """Which rows were split how."""
    return {
        "version_hash": dataset.version_hash,
        "split_seed": dataset.split_seed,
        "n": {"train": dataset.n_train, "validation": dataset.n_validation, "test": dataset.n_test},
    }


def bootstrap_json(facts: ReportFacts) -> dict[str, object]:
    """Everything that it takes to draw the same resamples and to adjust the same p-values."""
    return {
        "resamples": facts.resamples,
        "generator": GENERATOR,
        "seed": facts.bootstrap_seed,
        "n": len(facts.examples),
        "scheme": resampling_scheme(scoring_for(facts.experiment.answer)),
        "multiplicity": MULTIPLICITY,
    }


def analyse(facts: ReportFacts, translate: Translate = identity) -> Analysis:
    """Score, compare, recommend and conclude, on the candidates that are done."""
    _check(facts)
    experiment = facts.experiment
    resampler = Resampler(len(facts.examples), facts.bootstrap_seed, facts.resamples)
    done = [candidate for candidate in facts.candidates if candidate.state == DONE]
    scoring = scoring_for(experiment.answer)
    units = {candidate.name: candidate_units(candidate, facts.examples, scoring) for candidate in done}
    comparisons = compare_family(
        units,
        family=experiment.family,
        metrics=_metrics(experiment),
        primary=experiment.primary_metric,
        alpha=experiment.alpha,
        resampler=resampler,
    )
    deciding = [item for item in comparisons if not item.exploratory and item.reference == experiment.reference]
    recommendation = recommend(
        units=units,
        comparisons=deciding,
        reference=experiment.reference,
        assumed=frozenset(candidate.name for candidate in done if candidate.cost_assumed),
        margin=experiment.margin,
        alpha=experiment.alpha,
        resampler=resampler,
    )
    wording = Wording(
        reference=experiment.reference,
        margin=experiment.margin,
        alpha=experiment.alpha,
        metrics=scoring.metrics,
        baselines=frozenset(candidate.name for candidate in done if candidate.kind == BASELINE),
        translate=translate,
    )
    conclusion = conclude(recommendation=recommendation, comparisons=deciding, units=units, wording=wording)
    return Analysis(units, comparisons, recommendation, conclusion, resampler, wording)


def is_final(facts: ReportFacts) -> bool:
    """Whether every candidate has ended; before that the conclusion is a preview and may change."""
    return all(candidate.state in {DONE, FAILED} for candidate in facts.candidates)


def candidate_row(candidate: CandidateFacts, facts: ReportFacts, analysis: Analysis) -> dict[str, object]:
    """One leaderboard row: a candidate without its outputs. Figures are empty or null until it is done."""
    row: dict[str, object] = {
        "name": candidate.name,
        "kind": candidate.kind,
        "model": candidate.model,
        "prompt": candidate.prompt,
        "prompt_hash": candidate.prompt_hash,
        "model_revision": candidate.model_revision,
        "parameters": dict(candidate.parameters),
        "order_seed": candidate.order_seed,
        "state": candidate.state,
        "failure": candidate.failure,
        "recommended": candidate.name == analysis.recommendation.recommended,
        "cost_assumed": candidate.cost_assumed,
    }
    units = analysis.units.get(candidate.name)
    if units is None:
        no_figures = {"cost_nanousd_per_1000": None, "cost": None, "latency_ms": {"p50": None, "p95": None, "n": 0}}
        return row | {"metrics": {}, "constant_output": False} | no_figures
    alpha, resampler = facts.experiment.alpha, analysis.resampler
    cost = cost_estimate(units, alpha=alpha, resampler=resampler)
    return row | {
        "metrics": {
            metric.name: metric_json(metric, units, alpha=alpha, resampler=resampler)
            for metric in _metrics(facts.experiment)
        },
        "cost_nanousd_per_1000": cost.estimate,
        "cost": estimate_json(cost),
        "latency_ms": latency_json(units, alpha=alpha) | {"conditions": dict(candidate.conditions)},
        "constant_output": units.constant,
        "truncated": units.truncated,
        "repeats": units.repeats,
    }


def output_rows(candidate: CandidateFacts, facts: ReportFacts) -> list[dict[str, object]]:
    """A candidate's outputs, in the order of examples and repeats; `valid` is null where infrastructure failed."""
    scoring = scoring_for(facts.experiment.answer)
    expected = {example.id: example.expected for example in facts.examples}
    order = {example.id: position for position, example in enumerate(facts.examples)}
    outputs = sorted(candidate.outputs, key=lambda output: (order[output.example], output.repeat))
    return [_output_row(output, expected[output.example], scoring) for output in outputs]


def comparison_row(item: Comparison, facts: ReportFacts, analysis: Analysis) -> dict[str, object]:
    """One comparison; kind, claim and sentence exist for the decision family only."""
    result = item.result
    row: dict[str, object] = {
        "metric": item.metric,
        "candidate": item.candidate,
        "reference": item.reference,
        "difference": result.estimate if result else None,
        "low": result.low if result else None,
        "high": result.high if result else None,
        "p": result.p if result else None,
        "p_adjusted": item.p_adjusted,
        "p_bh": item.p_bh,
        "n": result.n if result else 0,
        "test": result.test if result else None,
        "method": result.method if result else None,
        "method_reference": result.reference if result else None,
        "exploratory": item.exploratory,
        "dropped": item.dropped,
    }
    if item.worst_case and item.best_case:
        row |= {"worst_case": _paired_json(item.worst_case), "best_case": _paired_json(item.best_case)}
    if item.exploratory:
        return row | {"kind": None, "claimed": False, "text": None, "more_examples": None}
    margin, alpha = facts.experiment.margin, facts.experiment.alpha
    more = _more_examples(item, facts, analysis.units)
    text = comparison_sentence(item, analysis.wording)
    if more is not None:
        text = f"{text} {more_data_sentence(more['more'], more['cost_nanousd'], analysis.wording.translate)}"
    return row | {
        "kind": kind_of(item, margin=margin) if result else None,
        "claimed": is_claimed(item, margin=margin, alpha=alpha),
        "text": text,
        "more_examples": more,
    }


def conclusion_json(analysis: Analysis) -> dict[str, object]:
    """The conclusion with its evidence: who qualified, what they cost against each other."""
    conclusion, recommendation = analysis.conclusion, analysis.recommendation
    return {
        "kind": conclusion.kind,
        "recommended": conclusion.recommended,
        "also_recommended": list(conclusion.also),
        "text": conclusion.text,
        "notes": list(conclusion.notes),
        "params": dict(conclusion.params),
        "qualifying": list(recommendation.qualifying),
        "cost_comparisons": [_cost_json(item) for item in recommendation.cost_comparisons],
        "price_assumed": recommendation.price_assumed,
        "price_changes_winner": recommendation.price_changes_winner,
        "rule": RULE,
    }


def condition_notes(facts: ReportFacts, analysis: Analysis) -> list[str]:
    """What the figures hold under beside the conclusion's own notes: answers cut off, what so few test rows cannot
    show, looks at the test rows."""
    translate = analysis.wording.translate
    notes = [
        truncated_sentence(
            candidate.name, units.truncated, len(candidate.outputs), candidate.parameters.get("max_tokens"), translate
        )
        for candidate in facts.candidates
        if (units := analysis.units.get(candidate.name)) is not None and units.truncated
    ]
    few = few_rows_sentence(len(facts.examples), alpha=facts.experiment.alpha)
    if few is not None:
        notes.append(few.say(translate))
    if facts.experiment.looks:
        notes.append(looks_sentence(facts.experiment.looks, facts.experiment.other_looks, translate))
    return notes


def _metrics(experiment: ExperimentFacts) -> list[Metric]:
    """The metrics of the experiment in its order, as its answers' format defines them."""
    known = scoring_for(experiment.answer).metrics
    return [known[name] for name in experiment.metrics]


def _check(facts: ReportFacts) -> None:
    if not facts.examples:
        raise ValueError("a report needs at least one test example")
    names = [candidate.name for candidate in facts.candidates]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"names of candidates must be unique, repeated: {', '.join(repeated)}")
    experiment = facts.experiment
    unknown = set(experiment.metrics) - scoring_for(experiment.answer).metrics.keys()
    if unknown or experiment.primary_metric not in experiment.metrics:
        raise ValueError(f"the primary metric must be among the known metrics, got {experiment.metrics}")
    strangers = sorted({name for pair in experiment.family for name in pair} - set(names))
    if strangers or experiment.reference not in names:
        raise ValueError(f"the family and the reference must be candidates: {', '.join(strangers)}")
    if len(set(experiment.family)) != len(experiment.family):
        raise ValueError("a pair of the family occurs twice")


def _output_row(output: OutputFacts, expected: str, scoring: Scoring) -> dict[str, object]:
    score = output_score(scoring, expected, output)
    return {
        "example": output.example,
        "repeat": output.repeat,
        "text": output.text,
        "valid": score.valid if score else None,
        "exact": score.exact if score else None,
        "error": output.error,
        "failure": output.failure,
        "finish_reason": output.finish_reason,
        "latency_ms": output.latency_ms,
        "cost_nanousd": output.cost_nanousd,
        "cached": output.cached,
    }


def _paired_json(result: PairedResult) -> dict[str, object]:
    return {"difference": result.estimate, "low": result.low, "high": result.high, "p": result.p, "n": result.n}


def _cost_json(item: CostComparison) -> dict[str, object]:
    pair = {"candidate": item.candidate, "reference": item.reference, "unit": "nanousd per 1000 requests"}
    return pair | _paired_json(item.result) | {"clear": item.clear}


def _more_examples(item: Comparison, facts: ReportFacts, units: Mapping[str, CandidateUnits]) -> MoreExamples | None:
    """How many more examples an undecided comparison needs, and about what both candidates cost on them."""
    result = item.result
    margin, alpha = facts.experiment.margin, facts.experiment.alpha
    if result is None or result.estimate is None or result.low is None or result.high is None:
        return None
    if kind_of(item, margin=margin) != "not_enough_data":
        return None
    size = examples_needed(
        difference=result.estimate, low=result.low, high=result.high, n=result.n, margin=margin, alpha=alpha
    )
    return {
        "more": size.more,
        "total": size.estimate,
        "method": size.method,
        "cost_nanousd": _extra_cost(size, [units[item.candidate], units[item.reference]]),
    }


def _extra_cost(size: SampleSize, pair: Sequence[CandidateUnits]) -> int | None:
    totals = [units.cost.sum(axis=0) for units in pair]
    if any(outputs == 0 for _, outputs in totals):
        return None
    per_example = sum(
        units.repeats * int(cost) / int(outputs) for units, (cost, outputs) in zip(pair, totals, strict=True)
    )
    return ceil(size.more * per_example)
