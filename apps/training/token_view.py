"""Reads of the page of trained tokens: one visible example, and its neighbours."""

from collections import Counter
from dataclasses import dataclass

from django.utils.translation import gettext as _

from apps.core.errors import ApplicationError, NotFound, translated
from apps.experiments.engine.rows import Example
from apps.experiments.models import DatasetVersion, PromptVersion
from apps.experiments.rows import train_rows, validation_rows
from apps.experiments.selectors import prompt_spec
from apps.providers.engine.chat import ChatError
from apps.providers.models import LanguageModel
from apps.training.engine.tokens import SeenToken, Stretch, seen_tokens, stretches
from apps.training.inputs import row_of, tokenizer_of
from apps.training.plan import room_of


@dataclass(frozen=True)
class TokenFacts:
    """One example's tokens with counts by state, and the ids of the examples before and after it."""

    example: Example
    number: int
    total: int
    stretches: list[Stretch]
    counts: dict[str, int]
    most: int
    problem: str
    previous: str
    next: str
    stop_token: str

    @property
    def tokens(self) -> int:
        return sum(self.counts.values())


def token_facts(
    *, version: DatasetVersion, model: LanguageModel, prompt: PromptVersion, row: str = ""
) -> TokenFacts | None:
    """The example `row` names by its id, else the first training row; None when the version shows none.

    Test rows are not among them: nobody looks at one before a final test.
    """
    examples = [*train_rows(version), *validation_rows(version)]
    if not examples:
        return None
    number = _number_of(examples, row)
    example, most = examples[number], room_of(model)
    tokenizer = tokenizer_of(model)
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
        number=number + 1,
        total=len(examples),
        stretches=stretches(found),
        counts={state: counts[state] for state in ("prompt", "trained", "cut")},
        most=most,
        problem=problem,
        previous=examples[number - 1].id if number else "",
        next=examples[number + 1].id if number + 1 < len(examples) else "",
        stop_token=tokenizer.stop_token,
    )


def _number_of(examples: list[Example], row: str) -> int:
    if not row:
        return 0
    for number, example in enumerate(examples):
        if example.id == row:
            return number
    raise NotFound(_("There is no such row among those that may be shown."))
