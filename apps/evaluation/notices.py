"""What a reader must know beside the figures of an experiment, in sentences."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from apps.evaluation.engine.metrics import scoring_for
from apps.evaluation.selectors.board import Board
from apps.evaluation.selectors.warnings import failure_counts, looks_at_test, truncated_counts
from apps.experiments.models import Experiment
from apps.experiments.reports import few_test_text
from apps.experiments.selectors import fresh_test_fits


@dataclass(frozen=True)
class Notice:
    title: str
    text: str
    tone: str = "warning"
    # Whether a fresh test set can be offered beside it.
    fresh_test: bool = False
    # Whether it is about the price of local computing, which somebody could set.
    local_price: bool = False


def notices(experiment: Experiment, board: Board) -> list[Notice]:
    """Conditions under which the figures hold, most important first."""
    return [
        *_dropped(board),
        *_constant(board),
        *_failed(experiment),
        *_truncated(experiment),
        *_assumed(board),
        *_few(experiment),
        *_models(board),
        *_looks(experiment),
    ]


def _dropped(board: Board) -> Iterator[Notice]:
    for row in board.document.get("candidates", []):
        metric: dict[str, Any] = row.get("metrics", {}).get(board.primary, {})
        dropped = metric.get("dropped", 0)
        if dropped:
            yield Notice(
                ngettext(
                    "%(count)d example of %(name)s has no figure",
                    "%(count)d examples of %(name)s have no figure",
                    dropped,
                )
                % {"count": dropped, "name": row["name"]},
                _(
                    "Its calls failed for reasons that are not the candidate's. Such pairs are dropped; above 2 % of"
                    " the examples the worst and the best case are told with the conclusion."
                ),
            )


def _constant(board: Board) -> Iterator[Notice]:
    for row in board.rows:
        if row.constant:
            yield Notice(
                _("%(name)s gives the same output for every example") % {"name": row.candidate.name},
                _("A constant answer is shown as a yardstick and is never recommended."),
                "info",
            )


def _failed(experiment: Experiment) -> Iterator[Notice]:
    for name, count in failure_counts(experiment).items():
        yield Notice(
            ngettext(
                "%(count)d example has no answer of %(name)s", "%(count)d examples have no answer of %(name)s", count
            )
            % {"count": count, "name": name},
            _(
                "The prompt could not be made, did not fit the model, or was refused. That is the candidate's own"
                " failure and counts as a wrong answer; each output says why."
            ),
        )


def _truncated(experiment: Experiment) -> Iterator[Notice]:
    cut_off = {
        "json": _("An answer that is cut off counts as it stands; most often it is no valid JSON and scores as wrong."),
        "label": _("An answer that is cut off counts as it stands; most often it is none of the labels and so wrong."),
        "number": _("An answer that is cut off counts as it stands; most often it is no number and so wrong."),
        "text": _("An answer that is cut off counts as it stands."),
    }
    for name, count in truncated_counts(experiment).items():
        yield Notice(
            ngettext(
                "%(count)d answer of %(name)s ended at the token limit",
                "%(count)d answers of %(name)s ended at the token limit",
                count,
            )
            % {"count": count, "name": name},
            cut_off[scoring_for(experiment.answer).format],
        )


def _assumed(board: Board) -> Iterator[Notice]:
    if any(row.cost_assumed for row in board.rows):
        yield Notice(
            _("Costs rest on an assumed price"),
            _(
                "Local computing is counted by the hour at a price that somebody assumed. Such figures are marked;"
                " the conclusion says whether half or twice the price would change it."
            ),
            local_price=True,
        )


def _few(experiment: Experiment) -> Iterator[Notice]:
    count = experiment.dataset_version.test_count
    text = few_test_text(count, alpha=experiment.alpha)
    if text:
        title = ngettext("%(count)d test row is few", "%(count)d test rows are few", count)
        yield Notice(title % {"count": count}, text)


def _models(board: Board) -> Iterator[Notice]:
    notes = {row.candidate.language_model.note: row.candidate for row in board.rows if row.candidate.kind != "baseline"}
    for note, candidate in notes.items():
        if note:
            yield Notice(_("About the model %(name)s") % {"name": candidate.language_model.name}, note, "info")


def _looks(experiment: Experiment) -> Iterator[Notice]:
    looks = list(looks_at_test(experiment))
    if not looks:
        return
    own = [look for look in looks if look.experiment_id == experiment.pk]
    tested = ", ".join(look.evaluation.candidate.name for look in own if look.evaluation is not None)
    sentences = [look.decision for look in own if look.evaluation is None]
    if tested:
        sentences.append(
            _("One final test each of %(names)s, as registered under %(hash)s.")
            % {"names": tested, "hash": experiment.registration_hash[:12]}
        )
    others = len(looks) - len(own)
    if others:
        sentences.append(_("Other experiments on this dataset looked %(count)d times.") % {"count": others})
    yield Notice(
        ngettext(
            "The test rows were looked at %(count)d time", "The test rows were looked at %(count)d times", len(looks)
        )
        % {"count": len(looks)},
        " ".join(sentences),
        "info",
        fresh_test=fresh_test_fits(experiment.dataset_version),
    )
