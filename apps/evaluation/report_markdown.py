"""The report of a finished experiment as Markdown: what its page says, to keep beside the code it decided about.

Everything that a person or a model wrote is escaped or fenced, so that no name and no output can pass for a heading,
a table or a link of the report.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from django.utils.translation import gettext as _

from apps.core.formats import MISSING, number_text
from apps.evaluation.comparisons import ComparisonRow, comparison_rows, exploratory_rows
from apps.evaluation.figures import Shown, metric_label
from apps.evaluation.notices import notices
from apps.evaluation.selectors import board, candidate_definitions, definition_holds, telling_examples
from apps.evaluation.selectors.board import Board
from apps.evaluation.selectors.examples import AnsweredExample
from apps.experiments.models import Experiment

_MARKS = re.compile(r"[\\`*_\[\]<>#|~&@$]|:(?=//)|(?<=\bwww)\.", re.IGNORECASE)
_FIRST = re.compile(r"^(?:[-+](?=[\s-]|$)|=|\d+(?=[.)](?:\s|$)))")
_LEAST_FENCE = 3


def plain(value: Any) -> str:
    """A value as one line of text in which nothing is markup, wherever in a line or table it stands."""
    text = _MARKS.sub(r"\\\g<0>", " ".join(str(value).split()))
    first = _FIRST.match(text)
    if first is None:
        return text
    # A digit cannot be escaped: the sign behind it makes the list.
    end = first.end()
    return f"\\{text}" if not text[0].isdigit() else f"{text[:end]}\\{text[end:]}"


def fenced(text: str) -> str:
    """Text word for word, in a block that nothing in it can close."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(_LEAST_FENCE, longest + 1)
    return f"{fence}text\n{text}\n{fence}"


def table(head: Sequence[str], rows: Iterable[Sequence[Any]], *, numeric: int) -> str:
    """A table whose last `numeric` columns are figures."""
    marks = ["---"] * (len(head) - numeric) + ["---:"] * numeric
    lines = [[plain(cell) for cell in head], marks, *([plain(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def report_markdown(experiment: Experiment) -> str:
    """The whole report. The experiment is finished: the caller has read its stored document."""
    found = board(experiment)
    return "\n\n".join([*_head(experiment), *_figures(experiment, found), *_ends(experiment, found)]) + "\n"


def _head(experiment: Experiment) -> Iterator[str]:
    yield f"# {plain(experiment.name)}"
    yield plain(experiment.question)
    yield f"## {_('Conclusion')}"
    yield plain(experiment.conclusion_text)
    yield f"## {_('Definition')}"
    version = experiment.dataset_version
    holds = definition_holds(experiment)
    yield _facts(
        {
            _("Dataset"): version,
            _("Content hash"): version.content_hash,
            _("Examples"): _("%(train)s train, %(validation)s validation, %(test)s test")
            % {"train": version.train_count, "validation": version.validation_count, "test": version.test_count},
            _("Split seed"): version.dataset.split_seed,
            _("Decided on"): metric_label(experiment.primary_metric, experiment.answer),
            _("Metrics"): ", ".join(metric_label(name, experiment.answer) for name in experiment.metrics),
            _("Smallest difference that matters"): f"{experiment.margin:g}",
            _("Significance level"): f"{experiment.alpha:g}",
            _("Reference"): experiment.reference or MISSING,
            _("Bootstrap"): _("%(n)s resamples, seed %(seed)s")
            % {"n": experiment.bootstrap_resamples, "seed": experiment.bootstrap_seed},
            _("Registered"): experiment.registered_at.isoformat() if experiment.registered_at else MISSING,
            _("Hash of the registration"): experiment.registration_hash,
            _("Definition as registered"): _("Yes") if holds else _("No"),
        }
    )


def _figures(experiment: Experiment, found: Board) -> Iterator[str]:
    yield f"## {_('Figures')}"
    level = f"{100 * (1 - experiment.alpha):g}"
    yield _("Intervals are %(level)s %% intervals.") % {"level": level}
    metrics = [metric_label(name, experiment.answer) for name in (found.primary, *found.other_metrics)]
    head = [_("Candidate"), *metrics, _("Cost per 1,000 requests"), _("p50 (ms)"), _("p95 (ms)"), _("n")]
    rows = [
        [
            row.candidate.name,
            *(_figure(each) for each in (row.primary, *row.others, row.cost, row.p50, row.p95)),
            row.n if row.n is not None else MISSING,
        ]
        for row in found.rows
    ]
    yield table(head, rows, numeric=len(head) - 1)
    for title, comparisons in (
        (_("Paired differences"), comparison_rows(found.document)),
        (_("Exploratory differences"), exploratory_rows(found.document)),
    ):
        if comparisons:
            yield f"## {title}"
            yield _comparisons(comparisons)


def _figure(figure: Shown) -> str:
    parts = [figure.text, f"({figure.range})" if figure.range else "", f"n = {figure.own_n}" if figure.own_n else ""]
    return " ".join(part for part in parts if part)


def _comparisons(rows: Sequence[ComparisonRow]) -> str:
    head = [
        _("Candidate"), _("Against"), _("Metric"), _("Verdict"), _("Test"), _("Difference"), _("Interval"), _("p"),
        _("p adjusted"), _("n"),
    ]  # fmt: skip
    cells = [
        (each.candidate, each.reference, each.metric, each.verdict, each.test, each.difference, each.interval, each.p,
         each.p_adjusted, each.n)
        for each in rows
    ]  # fmt: skip
    return table(head, cells, numeric=5)


def _ends(experiment: Experiment, found: Board) -> Iterator[str]:
    telling = telling_examples(experiment)
    if telling:
        yield f"## {_('Telling outputs')}"
        for example in telling:
            yield from _example(example)
    yield f"## {_('Conditions and assumptions')}"
    said = [f"- **{plain(each.title)}** {plain(each.text)}" for each in notices(experiment, found)]
    yield "\n".join(said) or _("None.")
    yield f"## {_('Candidates')}"
    for item in candidate_definitions(experiment):
        candidate = item.candidate
        yield f"### {plain(candidate.name)}"
        yield _facts(
            {
                _("Kind"): candidate.get_kind_display(),
                _("Model"): candidate.language_model,
                _("Revision"): candidate.language_model.revision or MISSING,
                _("Prompt"): candidate.prompt_version or MISSING,
                _("Prompt hash"): candidate.prompt_version.content_hash if candidate.prompt_version else MISSING,
                **{name: value for name, value in candidate.parameters.items() if value not in (None, [])},
                **dict(item.training_spec),
            }
        )
        if item.messages:
            yield fenced(item.conversation)
    yield from _made_with(found.document)


def _example(example: AnsweredExample) -> Iterator[str]:
    yield f"### {_('Example %(number)s') % {'number': example.number}}"
    yield f"{_('Input')}:"
    yield fenced(example.example.input)
    yield f"{_('Expected answer')}:"
    yield fenced(example.example.expected)
    for answer in example.answers:
        score = number_text(answer.primary, 3) if answer.primary is not None else MISSING
        yield f"{plain(answer.candidate.name)} ({_('score %(value)s') % {'value': score}}):"
        yield fenced(answer.output.text if answer.output is not None else MISSING)


def _made_with(document: Mapping[str, Any]) -> Iterator[str]:
    yield f"## {_('Versions and signatures')}"
    yield _facts({**document.get("versions", {}), **document.get("experiment", {}).get("metrics", {})})
    scheme = document.get("bootstrap", {})
    for sentence in (scheme.get("scheme"), scheme.get("multiplicity")):
        if sentence:
            yield plain(sentence)


def _facts(facts: Mapping[Any, Any]) -> str:
    return "\n".join(f"- {plain(name)}: {plain(value)}" for name, value in facts.items())
