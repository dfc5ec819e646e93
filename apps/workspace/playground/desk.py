"""A draft of the playground with all that it names, for one person: what the page, the checks and estimates read."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from apps.experiments.engine.prompts import PromptError, PromptSpec, variables_of
from apps.experiments.engine.prompts import spec_from_json as spec_of
from apps.experiments.engine.rows import Example
from apps.experiments.engine.templates import variables_for
from apps.experiments.models import DatasetVersion, PromptVersion
from apps.experiments.selectors import prompt_spec
from apps.providers.models import LanguageModel
from apps.providers.parameters import accepted_parameters
from apps.training.device import device_is_busy
from apps.workspace.models import PlaygroundAnswer
from apps.workspace.playground.draft import LETTERS, CandidateDraft, Draft
from apps.workspace.selectors.model_choices import WRITTEN, ModelChoice


@dataclass(frozen=True)
class OpenExperiment:
    """A draft experiment that a candidate can be added to."""

    uid: str
    name: str


@dataclass(frozen=True)
class Way:
    """What stands in the way of asking a model, and where that is mended."""

    says: str
    label: str
    url: str


@dataclass
class CandidateDesk:
    """One candidate with what its ids name. `problems` are sentences by field; with one it is not sent."""

    number: int
    draft: CandidateDraft
    choice: ModelChoice | None
    model: LanguageModel | None
    version: PromptVersion | None
    way: Way | None
    answer: PlaygroundAnswer | None
    problems: dict[str, str] = field(default_factory=dict)

    @property
    def letter(self) -> str:
        return LETTERS[self.number]

    @property
    def name(self) -> str:
        """The model in words, with its prompt where that is a saved one."""
        model = self.choice.entry.name if self.choice is not None else self.model.name if self.model else ""
        return f"{model}, {self.version}" if self.version is not None and not self.edited else model

    @property
    def where(self) -> str:
        return self.choice.entry.where if self.choice is not None else ""

    @property
    def shown(self) -> int:
        """How many demonstrations of its version are sent along."""
        return len(self.version.demonstrations) if self.version is not None else 0

    @property
    def edited(self) -> bool:
        """Whether the messages say something else than the version that they began as."""
        if self.version is None:
            return True
        try:
            return bool(self.spec().digest() != self.version.content_hash)
        except PromptError:
            return True

    def spec(self) -> PromptSpec:
        """The prompt as it would be sent, demonstrations included. PromptError when the messages are no prompt."""
        turns = [{"role": role, "content": text} for role, text in self.draft.messages if text.strip()]
        shown = prompt_spec(self.version).demonstrations if self.version is not None else ()
        return PromptSpec(messages=spec_of(turns).messages, demonstrations=shown)

    def parameters(self) -> dict[str, Any]:
        """As the model takes them; only where nothing is wrong with them."""
        wanted = {"max_tokens": int(self.draft.max_tokens), "temperature": float(self.draft.temperature)}
        return accepted_parameters(self.model, wanted) if self.model is not None else wanted


@dataclass
class Desk:
    draft: Draft
    candidates: list[CandidateDesk]
    choices: list[ModelChoice]
    prompts: list[PromptVersion]
    datasets: list[DatasetVersion]
    experiments: list[OpenExperiment]
    version: DatasetVersion | None
    example: Example | None
    example_count: int = 0

    @cached_property
    def variables(self) -> list[str]:
        """Variables other than the input that a prompt reads, so that somebody has to say what they stand for."""
        named: set[str] = set()
        for candidate in self.candidates:
            try:
                named |= variables_of(candidate.spec())
            except PromptError:
                continue
        return sorted(named - {"input"})

    @property
    def columns(self) -> dict[str, str]:
        """What the variables stand for: what was typed, else what the example says; nothing where neither is."""
        of_row = variables_for("", self.example.columns) if self.example is not None else {}
        return {name: self.draft.columns.get(name) or of_row.get(name, "") for name in self.variables}

    @property
    def sent(self) -> Draft:
        """The draft as it would be sent: only variables that are read, and an example only where the text is one."""
        return replace(self.draft, columns=self.columns, example=self.example.id if self.example is not None else "")

    @property
    def expected(self) -> str | None:
        """The answer of the example that the text is, word for word."""
        return self.example.expected if self.example is not None else None

    @property
    def unavailable(self) -> list[ModelChoice]:
        return [choice for choice in self.choices if not can_be_asked(choice)]

    @property
    def machine_is_busy(self) -> bool:
        """Whether this machine trains or measures while a candidate would run here."""
        here = any(each.choice is not None and not each.choice.entry.provider for each in self.candidates)
        return here and device_is_busy()


def can_be_asked(choice: ModelChoice) -> bool:
    """Ready, or a provider's model, which is there as soon as it is named."""
    return choice.ready or (choice.possible and bool(choice.entry.provider) and choice.value.startswith(WRITTEN))
