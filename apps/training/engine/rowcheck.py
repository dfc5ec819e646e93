"""What the rows of a run would teach, found without a model: trained tokens, cut answers, the stop token."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apps.core.engine.messages import Sentence, gettext_noop
from apps.providers.engine.chat import ChatError, ChatTokenizer
from apps.training.engine.data import EncodedRow, Row

NAMED_ROWS = 20
_NO_STOP = gettext_noop("the stop token %(token)s is not trained, so the model would never learn to stop")
_NEVER_STOPS = gettext_noop(
    "The end token would never be trained: every training row is longer than %(most)s tokens and would be cut before "
    "its end, so the model would not learn to stop."
)
_NO_TOKEN = gettext_noop("No token would be trained: there is no training row with an answer.")
_NO_TOKEN_FITS = gettext_noop("A dataset version with training rows would do.")
_NO_VALIDATION = gettext_noop("There is no validation row, so nothing would show what was learned.")
_NO_VALIDATION_FITS = gettext_noop("A dataset version with at least one validation row would do.")


@dataclass(frozen=True, slots=True)
class CutRow:
    """A row that is longer than fits; ``kept`` of its ``trained`` answer tokens would be left."""

    id: str
    tokens: int
    trained: int
    kept: int


@dataclass(frozen=True, slots=True)
class UnusableRow:
    id: str
    why: Sentence


@dataclass(frozen=True, slots=True)
class Checked:
    """Rows of one kind: those that can be learned as they stand, and the others with what is wrong."""

    rows: int
    encoded: tuple[EncodedRow, ...]
    cut: tuple[CutRow, ...]
    unusable: tuple[UnusableRow, ...]

    @property
    def tokens(self) -> int:
        return sum(len(row.ids) for row in self.encoded)

    @property
    def trained_tokens(self) -> int:
        return sum(row.trained_tokens for row in self.encoded if row.weight > 0)

    @property
    def longest(self) -> int:
        return max((*(len(row.ids) for row in self.encoded), *(row.tokens for row in self.cut)), default=0)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a run must not start. ``fits`` says what would do instead; ``rows`` names some of the rows at fault."""

    code: str
    says: Sentence
    fits: Sentence | None = None
    rows: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        fits = None if self.fits is None else self.fits.as_json()
        return {"code": self.code, "says": self.says.as_json(), "fits": fits, "rows": list(self.rows)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Refusal:
        fits = content["fits"]
        return cls(
            content["code"],
            Sentence.from_json(content["says"]),
            None if fits is None else Sentence.from_json(fits),
            tuple(content["rows"]),
        )


def check_rows(rows: Iterable[Row], tokenizer: ChatTokenizer, *, max_length: int) -> Checked:
    """Render every row and sort it: learnable, cut, or not renderable at all."""
    encoded: list[EncodedRow] = []
    cut: list[CutRow] = []
    unusable: list[UnusableRow] = []
    for row in rows:
        try:
            example = tokenizer.render_example(row.messages, row.answer)
        except ChatError as error:
            unusable.append(UnusableRow(row.id, error.sentence))
            continue
        if example.ids[-1] != tokenizer.stop_id or not example.trained[-1]:
            unusable.append(UnusableRow(row.id, Sentence(_NO_STOP, token=tokenizer.stop_token)))
        elif len(example.ids) > max_length:
            trained = sum(example.trained)
            cut.append(CutRow(row.id, len(example.ids), trained, max(0, max_length - example.prompt_length)))
        else:
            encoded.append(EncodedRow(row.id, example.ids, example.prompt_length, row.weight))
    return Checked(len(encoded) + len(cut) + len(unusable), tuple(encoded), tuple(cut), tuple(unusable))


def refusals_of(train: Checked, validation: Checked, *, max_length: int, context_length: int) -> list[Refusal]:
    """Every reason in these rows not to train on them. ``context_length``: what the base model can read at most."""
    found = [*_unusable(train, "training"), *_unusable(validation, "validation")]
    if train.rows and len(train.cut) == train.rows:
        says = Sentence(_NEVER_STOPS, most=max_length)
        found.append(Refusal("stop_not_trained", says, _room(train.longest, context_length, everything=True)))
    elif not train.trained_tokens and not found:
        found.append(Refusal("no_trained_token", Sentence(_NO_TOKEN), Sentence(_NO_TOKEN_FITS)))
    else:
        found += _cut(train, "training", max_length, context_length)
    if not validation.rows:
        found.append(Refusal("no_validation", Sentence(_NO_VALIDATION), Sentence(_NO_VALIDATION_FITS)))
    return found + _cut(validation, "validation", max_length, context_length)


_SPLIT_WORDS = {
    "training": Sentence(gettext_noop("training")),
    "validation": Sentence(gettext_noop("validation")),
}


def _unusable(checked: Checked, what: str) -> list[Refusal]:
    if not checked.unusable:
        return []
    says = Sentence(
        gettext_noop("%(count)s of %(rows)s %(what)s rows cannot be trained on. The first: %(why)s"),
        count=len(checked.unusable),
        rows=checked.rows,
        what=_SPLIT_WORDS[what],
        why=checked.unusable[0].why,
    )
    code = "no_trained_token" if len(checked.unusable) == checked.rows else "unusable_rows"
    fits = Sentence(gettext_noop("A dataset version without these rows, or another prompt or base model, would do."))
    return [Refusal(code, says, fits, tuple(row.id for row in checked.unusable[:NAMED_ROWS]))]


def _cut(checked: Checked, what: str, max_length: int, context_length: int) -> list[Refusal]:
    if not checked.cut:
        return []
    says = Sentence(
        gettext_noop(
            "%(count)s of %(rows)s %(what)s answers would be cut: the longest row has %(longest)s tokens, and "
            "%(most)s fit."
        ),
        count=len(checked.cut),
        rows=checked.rows,
        what=_SPLIT_WORDS[what],
        longest=checked.longest,
        most=max_length,
    )
    fits = _room(checked.longest, context_length, everything=False)
    return [Refusal("cut_answers", says, fits, tuple(row.id for row in checked.cut[:NAMED_ROWS]))]


def _room(longest: int, context_length: int, *, everything: bool) -> Sentence:
    if longest <= context_length:
        return Sentence(gettext_noop("Room for %(longest)s tokens, which this model has, would do."), longest=longest)
    template = (
        gettext_noop("A base model that reads %(longest)s tokens, or a shorter prompt, would do.")
        if everything
        else gettext_noop("Leaving these rows out, or a base model that reads %(longest)s tokens, would do.")
    )
    return Sentence(template, longest=longest)


def fitting(rows: Sequence[Row], tokenizer: ChatTokenizer, *, max_length: int) -> tuple[list[Row], list[str]]:
    """Rows that fit into ``max_length`` tokens, and the ids of those that do not. What cannot be rendered stays in."""
    too_long = {row.id for row in check_rows(rows, tokenizer, max_length=max_length).cut}
    return [row for row in rows if row.id not in too_long], [row.id for row in rows if row.id in too_long]
