"""A draft of the playground with all that it names looked up, checked and estimated, for one person."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any
from uuid import UUID

from django.urls import reverse
from django.utils.translation import gettext as _

from apps.core.errors import ApplicationError, translated
from apps.experiments import prompt_reading, rows
from apps.experiments.engine.prompts import PromptError, PromptSpec, check_template, known_variables, variables_of
from apps.experiments.engine.prompts import spec_from_json as spec_of
from apps.experiments.engine.rows import Example
from apps.experiments.engine.templates import variables_for
from apps.experiments.models import DatasetVersion, Experiment, PromptVersion
from apps.experiments.selectors import prompt_spec
from apps.providers.models import LanguageModel
from apps.providers.parameters import accepted_parameters
from apps.training.device import device_is_busy
from apps.workspace.models import PlaygroundAnswer
from apps.workspace.playground.draft import LETTERS, PLAIN, CandidateDraft, Draft, with_system
from apps.workspace.selectors.model_choices import WRITTEN, ModelChoice, choices_of

MOST_CHARACTERS = 100_000
MOST_TOKENS = 4096
HOTTEST = 2.0
DATASETS_OFFERED = 200


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


def desk(*, user: Any, team: Any, draft: Draft) -> Desk:
    """What an id names is looked up among what this person may see; anything else is as unknown as what never was."""
    choices = choices_of(user=user, team=team)
    prompts = list(_prompts(user, team))
    datasets = list(prompt_reading.dataset_versions(user=user, team=team)[:DATASETS_OFFERED])
    version = next((each for each in datasets if str(each.uid) == draft.dataset), None)
    askable = [choice for choice in choices if can_be_asked(choice)]
    draft = replace(
        draft, candidates=tuple(_with_model(each, askable, place) for place, each in enumerate(draft.candidates))
    )
    wanted = [answer for each in draft.candidates if (answer := _uid(each.answer)) is not None]
    answers = {
        str(answer.uid): answer
        for answer in PlaygroundAnswer.objects.for_user(user)
        .filter(run__team=team, uid__in=wanted)
        .select_related("run")
    }
    made = Desk(
        draft=draft,
        candidates=[
            _candidate(user, team, number, each, choices, prompts, answers)
            for number, each in enumerate(draft.candidates)
        ],
        choices=choices,
        prompts=prompts,
        datasets=datasets,
        experiments=_experiments(user, team),
        version=version,
        example=_example(draft, version),
    )
    for candidate in made.candidates:
        _check(candidate, made)
    return made


def _prompts(user: Any, team: Any) -> Any:
    found = PromptVersion.objects.for_user(user).filter(prompt__team=team).select_related("prompt")
    return found.order_by("prompt__name", "-number")


def _experiments(user: Any, team: Any) -> list[OpenExperiment]:
    found = Experiment.objects.for_user(user).filter(team=team, state=Experiment.State.DRAFT).order_by("-id")
    return [OpenExperiment(str(uid), name) for uid, name in found.values_list("uid", "name")]


def _with_model(candidate: CandidateDraft, askable: Sequence[ModelChoice], place: int) -> CandidateDraft:
    """A candidate that has no model yet begins with one that can be asked, each with another."""
    if candidate.model or not askable:
        return candidate
    return replace(candidate, model=askable[place % len(askable)].value)


def _uid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _example(draft: Draft, version: DatasetVersion | None) -> Example | None:
    """The row that the text was taken from, while it still says what that row says. Never a test row."""
    if version is None or not draft.example:
        return None
    found = rows.row_by_id(version, draft.example)
    return found if found is not None and found.input.replace("\r\n", "\n") == draft.text else None


def _candidate(
    user: Any,
    team: Any,
    number: int,
    draft: CandidateDraft,
    choices: Sequence[ModelChoice],
    prompts: Sequence[PromptVersion],
    answers: dict[str, PlaygroundAnswer],
) -> CandidateDesk:
    choice = next((each for each in choices if each.value == draft.model), None)
    model = choice.model if choice is not None else _other_model(user, team, draft.model)
    made = CandidateDesk(
        number=number,
        draft=draft,
        choice=choice,
        model=model,
        version=next((each for each in prompts if str(each.uid) == draft.prompt), None),
        way=_way(team, choice, model),
        answer=answers.get(draft.answer),
    )
    if choice is None and model is None:
        made.problems["model"] = _("Choose a model.") if not draft.model else _("There is no such model here.")
    if draft.prompt and made.version is None:
        made.problems["prompt"] = _("There is no such prompt version here. What it said is kept below.")
    return made


def _other_model(user: Any, team: Any, value: str) -> LanguageModel | None:
    """A model that is offered to nobody any more: a retired one, or a baseline."""
    uid = _uid(value)
    if uid is None:
        return None
    found: LanguageModel | None = LanguageModel.objects.for_user(user).filter(team=team, uid=uid).first()
    return found


def _way(team: Any, choice: ModelChoice | None, model: LanguageModel | None) -> Way | None:
    if choice is not None and can_be_asked(choice):
        return None
    models = reverse("models", args=[team.slug])
    if choice is None:
        if model is None:
            return None
        says = _("%(model)s cannot be asked any more: %(state)s.")
        return Way(says % {"model": model.name, "state": model.get_state_display().lower()}, _("See models"), models)
    entry, fix = choice.entry, choice.fix or choice.entry.fix
    says = entry.detail or _("%(model)s cannot be asked yet: it is not ready.") % {"model": entry.name}
    # What a press would begin stands on the page of models.
    url = fix.url if fix is not None and not fix.key else models
    return Way(says, fix.label if fix is not None and not fix.key else _("See models"), url)


# --- checks


def _check(candidate: CandidateDesk, at: Desk) -> None:
    draft, problems = candidate.draft, candidate.problems
    tokens = draft.max_tokens
    if not (tokens.isascii() and tokens.isdecimal() and 1 <= int(tokens) <= MOST_TOKENS):
        problems["max_tokens"] = _("A whole number from 1 to %(most)s.") % {"most": MOST_TOKENS}
    if not 0 <= _number(draft.temperature) <= HOTTEST:
        problems["temperature"] = _("A number from 0 to 2.")
    kept = at.version.columns if at.version is not None and at.example is not None else ()
    known = known_variables([*kept, *at.draft.columns])
    for role, text in draft.messages:
        found = check_template(text, known) if text.strip() else []
        if found:
            problems.setdefault("messages", f"{role_name(role)}: {translated(found[0].sentence)}")
    try:
        candidate.spec()
        if not {"max_tokens", "temperature"} & problems.keys():
            candidate.parameters()
    except PromptError as error:
        problems.setdefault("messages", translated(error))
    except ApplicationError as error:
        problems.setdefault(error.field or "model", error.message)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return -1.0


def role_name(role: str) -> str:
    return {"system": _("System"), "user": _("User"), "assistant": _("Assistant")}[role]


def require_sendable(at: Desk) -> None:
    """ApplicationError with the first thing that has to be mended before anything is sent."""
    if not at.draft.text.strip() or len(at.draft.text) > MOST_CHARACTERS:
        raise ApplicationError(_("Write an input of 1 to 100,000 characters."), field="input")
    for candidate in at.candidates:
        for says in candidate.problems.values():
            raise ApplicationError(
                _("Candidate %(letter)s: %(problem)s") % {"letter": candidate.letter, "problem": says}
            )


# --- what a button fills in


def with_example(draft: Draft, version: DatasetVersion | None) -> Draft:
    """The form on the row that it names, its kept columns included."""
    if version is None:
        raise ApplicationError(_("Choose a dataset version to take an example from."), field="dataset")
    row, count = prompt_reading.row_at(version, split=draft.split, number=draft.row)
    if row is None:
        raise ApplicationError(_("This split has no rows. Choose the other one."), field="split")
    return replace(
        draft,
        row=min(draft.row, count),
        text=row.input.replace("\r\n", "\n"),
        example=row.id,
        columns={name: value for name, value in variables_for("", row.columns).items() if name != "input"},
    )


def with_prompt(draft: Draft, number: int, prompts: Sequence[PromptVersion]) -> Draft:
    """The form with the messages of the version that a candidate has chosen; of none, the input alone."""
    if number >= len(draft.candidates):
        return draft
    candidates = list(draft.candidates)
    chosen = candidates[number]
    version = next((each for each in prompts if str(each.uid) == chosen.prompt), None)
    said = [(item["role"], item["content"]) for item in version.messages] if version is not None else PLAIN
    candidates[number] = replace(chosen, messages=with_system(said))
    return replace(draft, candidates=tuple(candidates))
