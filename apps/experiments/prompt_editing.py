"""A prompt while somebody writes it: what the editor's form holds, what its buttons change, and how it would read."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.http import QueryDict
from django.utils.translation import gettext as _

from apps.core.errors import ApplicationError, NotFound, translated
from apps.experiments import prompt_reading, selectors
from apps.experiments.engine.prompts import (
    Demonstration,
    PromptError,
    PromptSpec,
    check_template,
    known_variables,
    render_messages,
    spec_from_json,
    variables_of,
)
from apps.experiments.engine.rows import Example
from apps.experiments.models import DatasetVersion, PromptVersion
from apps.experiments.selectors import prompt_spec
from apps.providers.engine.messages import Message
from apps.providers.models import LanguageModel

ROLES = ("system", "user", "assistant")
DRAWN = 3
MOST_DRAWN = 20
# Newest dataset versions that are tried for one that goes with a prompt.
DATASETS_TRIED = 5


@dataclass(frozen=True)
class Draft:
    """The form as it was sent. Nothing in it is trusted: ids are looked up, texts are checked."""

    name: str = ""
    description: str = ""
    note: str = ""
    messages: tuple[tuple[str, str], ...] = (("user", "{{ input }}"),)
    dataset: str = ""
    # The dataset version that the demonstrations were chosen from, when another has been chosen since.
    dataset_before: str = ""
    model: str = ""
    demonstrations: tuple[str, ...] = ()
    drawn: int = DRAWN
    seed: int = 1
    query: str = ""
    split: str = "train"
    row: int = 1


def draft_from(data: QueryDict) -> Draft:
    """Read the form. Line ends become those of a prompt, so that the same words are the same version."""
    contents = [text.replace("\r\n", "\n").replace("\r", "\n") for text in data.getlist("content")]
    roles = [role if role in ROLES else "user" for role in data.getlist("role")]
    return Draft(
        name=data.get("name", ""),
        description=data.get("description", ""),
        note=data.get("note", ""),
        messages=tuple(zip(roles, contents, strict=False)) or Draft.messages,
        dataset=data.get("dataset", ""),
        dataset_before=data.get("dataset_before", ""),
        model=data.get("model", ""),
        demonstrations=tuple(dict.fromkeys(data.getlist("demonstration"))),
        drawn=_number(data.get("drawn"), DRAWN, most=MOST_DRAWN),
        seed=_number(data.get("seed"), 1, most=2**31),
        query=data.get("query", "")[:200],
        split="validation" if data.get("split") == "validation" else "train",
        row=_number(data.get("row"), 1, most=10**9),
    )


def draft_for(*, user: Any, team: Any, base: PromptVersion | None) -> Draft:
    """The form to begin with, beside a dataset that fits: the newest, or the newest that a version goes with."""
    newest = prompt_reading.dataset_versions(user=user, team=team)[:DATASETS_TRIED]
    draft = Draft()
    if base is not None:
        messages = tuple((item["role"], item["content"]) for item in base.messages)
        draft = Draft(messages=messages, demonstrations=tuple(shown["id"] for shown in base.demonstrations))
    fitting = next((version for version in newest if base is None or _goes_with(base, version)), None)
    return replace(draft, dataset=str(fitting.uid)) if fitting is not None else draft


def _goes_with(base: PromptVersion, version: DatasetVersion) -> bool:
    """Whether the dataset version has the variables that the prompt names and the rows that it shows."""
    if any(check_template(item["content"], known_variables(version.columns)) for item in base.messages):
        return False
    ids = [shown["id"] for shown in base.demonstrations]
    return len(prompt_reading.train_rows_by_id(version, ids)) == len(ids)


def _number(text: str | None, default: int, *, most: int) -> int:
    return min(max(int(text), 1), most) if text and text.isascii() and text.isdecimal() and len(text) < 12 else default


def changed(draft: Draft, do: str, version: DatasetVersion | None) -> Draft:
    """What a button of the form does to it; saving and previewing do nothing."""
    what, _colon, which = do.partition(":")
    messages, shown = list(draft.messages), draft.demonstrations
    if what == "message_add":
        messages.insert(0 if messages[0][0] != "system" else len(messages) - 1, ("system", ""))
    elif what == "message_remove" and which.isdecimal() and int(which) < len(messages) > 1:
        del messages[int(which)]
    elif what == "draw" and version is not None:
        shown = tuple(prompt_reading.drawn_ids(version, count=draft.drawn, seed=draft.seed))
    elif what == "show":
        shown = tuple(dict.fromkeys([*shown, which]))
    elif what == "hide":
        shown = tuple(id_ for id_ in shown if id_ != which)
    elif what == "hide_all":
        shown = ()
    elif what == "row":
        draft = replace(draft, row=_number(which, 1, most=10**9))
    return replace(draft, messages=tuple(messages), demonstrations=shown)


@dataclass(frozen=True)
class MessageDraft:
    role: str
    content: str
    problems: tuple[str, ...] = ()

    @property
    def in_textarea(self) -> str:
        """A browser swallows the first line end of a text area."""
        return f"\n{self.content}" if self.content.startswith("\n") else self.content


@dataclass(frozen=True)
class Desk:
    """A draft with all that it names looked up and checked, for one person."""

    draft: Draft
    version: DatasetVersion | None
    models: list[LanguageModel]
    model: LanguageModel | None
    base: PromptVersion | None
    messages: list[MessageDraft]
    demonstrations: list[Demonstration]
    # Chosen from another dataset version than the one chosen now.
    strangers: tuple[str, ...] = ()
    found: list[Example] = field(default_factory=list)

    @property
    def variables(self) -> list[str]:
        return known_variables(self.version.columns if self.version is not None else ())

    @property
    def problems(self) -> list[str]:
        return [problem for message in self.messages for problem in message.problems]

    def spec(self) -> PromptSpec:
        """PromptError when the messages are no prompt."""
        turns = [{"role": message.role, "content": message.content} for message in self.messages]
        spec = spec_from_json(turns)
        named = variables_of(spec)
        return PromptSpec(
            messages=spec.messages, demonstrations=tuple(_with_columns(shown, named) for shown in self.demonstrations)
        )


def _with_columns(shown: Demonstration, named: set[str]) -> Demonstration:
    """Only what the prompt reads is kept, so that a column that it does not name makes no other version."""
    used = {column: value for column, value in shown.columns.items() if set(known_variables([column])) & named}
    return replace(shown, columns={column: value for column, value in used.items() if column != "input"})


def desk(*, user: Any, team: Any, draft: Draft, do: str, base: PromptVersion | None) -> Desk:
    """NotFound for a dataset version, model or demonstration that this person's team does not have."""
    version = _dataset_version(user, team, draft.dataset)
    earlier = _dataset_version(user, team, draft.dataset_before)
    draft = changed(draft, do, version)
    models = prompt_reading.counting_models(user=user, team=team)
    shown, strangers = _demonstrations(draft, version, earlier, base)
    searching = version is not None and draft.query.strip()
    return Desk(
        draft=draft,
        version=version,
        models=models,
        model=_model(models, draft.model),
        base=base,
        messages=_checked_messages(draft, version),
        demonstrations=shown,
        strangers=strangers,
        found=prompt_reading.train_rows_with(version, draft.query) if version is not None and searching else [],
    )


def _dataset_version(user: Any, team: Any, uid: str) -> DatasetVersion | None:
    if not uid:
        return None
    return selectors.dataset_version_by_uid(user=user, team=team, uid=_uuid(uid))


def _model(models: Sequence[LanguageModel], uid: str) -> LanguageModel | None:
    if not uid:
        return models[0] if models else None
    if uid == "characters":
        return None
    found = next((model for model in models if str(model.uid) == uid), None)
    if found is None:
        raise NotFound(_("There is no such model here."))
    return found


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except (ValueError, ValidationError):
        raise NotFound(_("There is no such dataset version here.")) from None


def _demonstrations(
    draft: Draft, version: DatasetVersion | None, earlier: DatasetVersion | None, base: PromptVersion | None
) -> tuple[list[Demonstration], tuple[str, ...]]:
    """The chosen rows in their order, and the ids of those that the chosen dataset version does not train on."""
    if not draft.demonstrations:
        return [], ()
    carried = {shown.id: shown for shown in (prompt_spec(base).demonstrations if base is not None else ())}
    here = prompt_reading.train_rows_by_id(version, draft.demonstrations) if version is not None else {}
    before = prompt_reading.train_rows_by_id(earlier, draft.demonstrations) if earlier is not None else {}
    found, strangers = [], []
    for id_ in draft.demonstrations:
        row = here.get(id_) or before.get(id_)
        if id_ not in here and id_ in carried:
            found.append(carried[id_])
        elif row is None:
            raise NotFound(_("There is no such training row here."))
        else:
            found.append(Demonstration(row.id, row.input, row.expected, dict(row.columns)))
            if id_ not in here:
                strangers.append(id_)
    return found, tuple(strangers)


def _checked_messages(draft: Draft, version: DatasetVersion | None) -> list[MessageDraft]:
    known = known_variables(version.columns if version is not None else ())
    made = []
    for number, (role, content) in enumerate(draft.messages, start=1):
        if not content.strip():
            problems: tuple[str, ...] = (_("Message %(number)s is empty: write it or remove it.") % {"number": number},)
        else:
            problems = tuple(translated(problem.sentence) for problem in check_template(content, known))
        made.append(MessageDraft(role, content, problems))
    return made


# --- the preview


@dataclass(frozen=True)
class Turn:
    """A message as the model receives it. `tokens` is None where none are counted."""

    role: str
    content: str
    tokens: int | None

    @property
    def characters(self) -> int:
        return len(self.content)


@dataclass(frozen=True)
class Preview:
    """The prompt on one row; `error` says why there is none."""

    turns: list[Turn] = field(default_factory=list)
    example: Example | None = None
    number: int = 0
    count: int = 0
    tokens: int | None = None
    room: int = 0
    ignores_input: bool = False
    error: str = ""

    @property
    def characters(self) -> int:
        return sum(turn.characters for turn in self.turns)

    @property
    def too_long(self) -> bool:
        return bool(self.tokens and self.room and self.tokens > self.room)


def preview(at: Desk) -> Preview:
    """How the draft reads on the chosen row; without a dataset, on a stand-in for the input."""
    if at.problems:
        return Preview()
    example, count = None, 0
    if at.version is not None:
        example, count = prompt_reading.row_at(at.version, split=at.draft.split, number=at.draft.row)
    text = example.input if example is not None else _("(the input stands here)")
    try:
        spec = at.spec()
        messages = render_messages(spec, text, example.columns if example is not None else {})
    except PromptError as error:
        return Preview(error=translated(error))
    except ApplicationError as error:
        return Preview(error=error.message)
    shown = _turns(messages, at.model)
    return replace(
        shown,
        example=example,
        number=min(at.draft.row, count),
        count=count,
        ignores_input="input" not in variables_of(PromptSpec(messages=spec.messages[-1:])),
    )


def _turns(messages: Sequence[Message], model: LanguageModel | None) -> Preview:
    counted = prompt_reading.count_tokens(model, messages) if model is not None else None
    each: Sequence[int | None] = counted.each if counted is not None else [None] * len(messages)
    turns = [Turn(message.role, message.content, tokens) for message, tokens in zip(messages, each, strict=True)]
    room = model.context_length if model is not None else 0
    return Preview(turns=turns, tokens=counted.whole if counted is not None else None, room=room or 0)
