"""Reads of the page of trained tokens: one visible example, and its neighbours."""

from collections import Counter
from dataclasses import dataclass

from django.utils.translation import gettext as _

from apps.core.errors import ApplicationError, NotFound, translated
from apps.experiments import rows
from apps.experiments.engine.rows import Example
from apps.experiments.models import DatasetVersion, PromptVersion
from apps.experiments.selectors import prompt_spec
from apps.providers.engine.chat import ChatError
from apps.providers.models import LanguageModel
from apps.training.engine.tokens import SeenToken, Stretch, TokenState, seen_tokens, stretches
from apps.training.inputs import row_of, tokenizer_of
from apps.training.plan import room_of

STATES: tuple[TokenState, ...] = ("trained", "prompt", "cut")


@dataclass(frozen=True)
class TokenFacts:
    """One example's tokens with counts by state. `number` 0: its place is not known."""

    example: Example
    number: int
    total: int
    stretches: list[Stretch]
    counts: dict[str, int]
    most: int
    problem: str
    stop_token: str

    @property
    def previous(self) -> int:
        """The place before this one; 0 for none."""
        return max(0, self.number - 1)

    @property
    def next(self) -> int:
        return self.number + 1 if 0 < self.number < self.total else 0

    @property
    def tokens(self) -> int:
        return sum(self.counts.values())


def token_facts(
    *, version: DatasetVersion, model: LanguageModel, prompt: PromptVersion, row: str = "", place: int = 1
) -> TokenFacts | None:
    """The row of that id, else the one at `place`, counted from 1 through training and then validation rows.

    None when the version shows none. Test rows are not among them: nobody looks at one before a final test.
    """
    total = version.train_count + version.validation_count
    if not total:
        return None
    number = _place_of(version, row) if row else min(max(place, 1), total)
    example = _at(version, number) if number else _named(version, row)
    most, tokenizer = room_of(model), tokenizer_of(model)
    found: list[SeenToken] = []
    problem = ""
    try:
        found = seen_tokens(row_of(example, prompt_spec(prompt)), tokenizer, max_length=most)
    except ChatError as error:
        problem = translated(error)
    except ApplicationError as error:
        problem = error.message
    counts = Counter(token.state for token in found)
    return TokenFacts(
        example=example,
        number=number,
        total=total,
        stretches=stretches(found),
        counts={state: counts[state] for state in STATES},
        most=most,
        problem=problem,
        stop_token=tokenizer.stop_token,
    )


def _named(version: DatasetVersion, row: str) -> Example:
    example = rows.row_by_id(version, row)
    if example is None:
        raise NotFound(_("There is no such row among those that may be shown."))
    return example


def _place_of(version: DatasetVersion, row: str) -> int:
    """Where the row of that id stands; 0 in a version that is too large to be searched for every page."""
    _named(version, row)
    if rows.is_large(version):
        return 0
    shown = (*rows.train_rows(version), *rows.validation_rows(version))
    return next(number for number, example in enumerate(shown, start=1) if example.id == row)


def _at(version: DatasetVersion, place: int) -> Example:
    in_train = place <= version.train_count
    split, offset = ("train", place - 1) if in_train else ("validation", place - 1 - version.train_count)
    found, _total = rows.page(version, split=split, offset=offset, limit=1)
    return found[0]
