"""The playground's form as it was sent, and the run that keeps it: the same words in two shapes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from django.http import QueryDict

from apps.core.storable import storable_json, storable_text
from apps.workspace.models import PlaygroundRun

MOST_CANDIDATES = 6
# How candidates are called on the page, in their order.
LETTERS = "ABCDEF"
ROLES = ("system", "user", "assistant")
MOST_MESSAGES = 20
PLAIN = (("system", ""), ("user", "{{ input }}"))
_COLUMN = "column-"


@dataclass(frozen=True)
class CandidateDraft:
    """One candidate as typed. `model` is a value of ModelChoice, `prompt` the version that the messages began as."""

    model: str = ""
    prompt: str = ""
    messages: tuple[tuple[str, str], ...] = PLAIN
    max_tokens: str = "256"
    temperature: str = "0"
    # The answer that is shown below it.
    answer: str = ""


@dataclass(frozen=True)
class Draft:
    """Nothing in it is trusted: ids are looked up, texts are checked."""

    text: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    # Where an example would be taken from, and the row that the text was taken from.
    dataset: str = ""
    split: str = "validation"
    row: int = 1
    example: str = ""
    candidates: tuple[CandidateDraft, ...] = (CandidateDraft(),)
    # Which two texts are compared; which candidate is kept, and where.
    left: str = ""
    right: str = ""
    keep: int = 0
    name: str = ""
    experiment: str = ""


def draft_from(data: QueryDict) -> Draft:
    """Read the form. Line ends become those of a prompt, so that the same words are the same version."""
    numbers = [int(text) for text in data.getlist("candidate")[:MOST_CANDIDATES] if text in tuple("012345")]
    typed = {key.removeprefix(_COLUMN): _lines(data.get(key, "")) for key in data if key.startswith(_COLUMN)}
    columns = {name: text for name, text in typed.items() if text}
    return Draft(
        text=_lines(data.get("input", "")),
        columns=columns,
        dataset=data.get("dataset", ""),
        split="train" if data.get("split") == "train" else "validation",
        row=_whole(data.get("row", ""), 1),
        example=data.get("example", ""),
        candidates=tuple(_candidate(data, number) for number in numbers) or (CandidateDraft(),),
        left=data.get("left", ""),
        right=data.get("right", ""),
        keep=_whole(data.get("keep", ""), 0, least=0),
        name=data.get("name", ""),
        experiment=data.get("experiment", ""),
    )


def _candidate(data: QueryDict, number: int) -> CandidateDraft:
    roles = [role if role in ROLES else "user" for role in data.getlist(f"{number}-role")]
    contents = [_lines(text) for text in data.getlist(f"{number}-content")]
    return CandidateDraft(
        model=data.get(f"{number}-model", ""),
        prompt=data.get(f"{number}-prompt", ""),
        messages=tuple(zip(roles, contents, strict=False))[:MOST_MESSAGES] or PLAIN,
        max_tokens=data.get(f"{number}-max_tokens", "").strip()[:20],
        temperature=data.get(f"{number}-temperature", "").strip()[:20],
        answer=data.get(f"{number}-answer", ""),
    )


def _lines(text: str) -> str:
    return storable_text(text.replace("\r\n", "\n").replace("\r", "\n"))


def _whole(text: str, default: int, *, least: int = 1) -> int:
    return max(int(text), least) if text.isascii() and text.isdecimal() and len(text) < 10 else default


def with_system(messages: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """With room for what the system is told, which a prompt need not have."""
    return tuple(messages) if messages and messages[0][0] == "system" else (("system", ""), *messages)


def changed(draft: Draft, what: str, which: str) -> Draft:
    """What *add* and *remove* do to the candidates. A new one begins as the last one is, without its answer."""
    candidates = list(draft.candidates)
    if what == "add" and len(candidates) < MOST_CANDIDATES:
        candidates.append(replace(candidates[-1], answer=""))
    elif what == "remove" and which.isdecimal() and int(which) < len(candidates) > 1:
        del candidates[int(which)]
    return replace(draft, candidates=tuple(candidates))


# --- a run


def setup_of(draft: Draft, models: Sequence[str]) -> dict[str, Any]:
    """What a run keeps of a draft whose figures were checked; `models` are the public ids of what its models are."""
    example = {"version": draft.dataset, "row": draft.example, "split": draft.split, "number": draft.row}
    setup: dict[str, Any] = {
        "input": draft.text,
        "columns": dict(draft.columns),
        **({"example": example} if draft.example else {}),
        "candidates": [
            {
                "model": model,
                "prompt": candidate.prompt,
                "messages": [{"role": role, "content": content} for role, content in candidate.messages if content],
                "max_tokens": int(candidate.max_tokens),
                "temperature": float(candidate.temperature),
            }
            for candidate, model in zip(draft.candidates, models, strict=True)
        ],
    }
    return dict(storable_json(setup))


def draft_of(run: PlaygroundRun) -> Draft:
    """The form that a run was made of, with the answers that it has."""
    setup = run.setup
    example = setup.get("example") or {}
    answers = {answer.number: str(answer.uid) for answer in run.answers.all()}
    return Draft(
        text=setup["input"],
        columns=setup["columns"],
        dataset=example.get("version", ""),
        split=example.get("split", Draft.split),
        row=example.get("number", 1),
        example=example.get("row", ""),
        candidates=tuple(
            CandidateDraft(
                model=each["model"],
                prompt=each["prompt"],
                messages=with_system([(message["role"], message["content"]) for message in each["messages"]]),
                max_tokens=str(each["max_tokens"]),
                temperature=f"{each['temperature']:g}",
                answer=answers.get(number, ""),
            )
            for number, each in enumerate(setup["candidates"], start=1)
        ),
    )
