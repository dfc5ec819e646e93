"""The playground as its templates read it."""

from dataclasses import dataclass
from typing import Any

from django.urls import reverse
from django.utils.translation import gettext as _

from apps.accounts.models import Team
from apps.workspace.models import PlaygroundRun
from apps.workspace.playground.checks import role_name
from apps.workspace.playground.desk import CandidateDesk, Desk, can_be_asked
from apps.workspace.playground.draft import MOST_CANDIDATES, Draft, setup_of
from apps.workspace.playground.estimates import candidate_estimates, whole_estimate
from apps.workspace.selectors.estimates import Estimate
from apps.workspace.selectors.playground import chosen_number, votable


@dataclass(frozen=True)
class MessageShown:
    role: str
    label: str
    content: str

    @property
    def in_textarea(self) -> str:
        """A browser swallows the first line end of a text area."""
        return f"\n{self.content}" if self.content.startswith("\n") else self.content

    @property
    def rows(self) -> int:
        return min(8, max(2, len(self.content) // 40 + self.content.count("\n") + 1))


@dataclass(frozen=True)
class CandidateShown:
    at: CandidateDesk
    estimate: Estimate
    model_options: list[tuple[str, str]]
    messages: list[MessageShown]
    prompt_text: str
    open: bool
    # The answer is to what was sent before the form was changed.
    stale: bool
    stream_url: str = ""


@dataclass(frozen=True)
class Compared:
    """Texts that can be compared, by what the form sends for them; two at least, or none."""

    options: list[tuple[str, str]]
    left: str = ""
    right: str = ""
    before: str = ""
    after: str = ""


def shown(*, user: Any, team: Team, at: Desk, asked: PlaygroundRun | None) -> dict[str, Any]:
    """Context of the page. `asked`: the run whose answers are to come in now."""
    estimates = candidate_estimates(team, at)
    # Before there is an answer, what is to be asked is what there is to see.
    begins = asked is None and all(each.answer is None for each in at.candidates)
    # Where each runs is said below it.
    models = [(choice.value, choice.entry.name) for choice in at.choices if can_be_asked(choice)]
    return {
        "at": at,
        "candidates": [
            _candidate(each, estimate, models, at.sent, asked, begins=begins)
            for each, estimate in zip(at.candidates, estimates, strict=True)
        ],
        "cost": whole_estimate(estimates),
        "unknown": sum(bool(each.unknown) for each in estimates),
        "compare": compared(at),
        "votes": votes(user=user, team=team, at=at),
        "may_add": len(at.candidates) < MOST_CANDIDATES,
        "prompt_options": [("", _("No saved prompt")), *((str(each.uid), str(each)) for each in at.prompts)],
        "dataset_options": [("", _("None")), *((str(each.uid), str(each)) for each in at.datasets)],
        "split_options": [("validation", _("Validation")), ("train", _("Train"))],
        "keep_options": [(str(each.number), f"{each.letter}: {each.name}") for each in at.candidates],
        "experiment_options": [(each.uid, each.name) for each in at.experiments],
    }


def _candidate(
    at: CandidateDesk,
    estimate: Estimate,
    models: list[tuple[str, str]],
    draft: Draft,
    asked: PlaygroundRun | None,
    *,
    begins: bool,
) -> CandidateShown:
    options = list(models)
    if at.draft.model and at.draft.model not in dict(models):
        # What a link names stays chosen, though it cannot be asked now.
        options.insert(0, (at.draft.model, at.name or _("A model that is not here")))
    elif not models:
        options.insert(0, ("", _("No model can be asked")))
    url = ""
    if asked is not None:
        url = reverse("playground_answer", args=[asked.team.slug, asked.uid, at.number + 1])
    return CandidateShown(
        at=at,
        estimate=estimate,
        model_options=options,
        messages=[MessageShown(role, role_name(role), text) for role, text in at.draft.messages],
        prompt_text=_prompt_text(at),
        open=begins or bool({"prompt", "messages", "max_tokens", "temperature"} & at.problems.keys()),
        stale=at.answer is not None and _is_stale(at, draft),
        stream_url=url,
    )


def _prompt_text(at: CandidateDesk) -> str:
    if at.version is not None:
        return _("%(prompt)s, changed") % {"prompt": at.version} if at.edited else str(at.version)
    said = [text for _role, text in at.draft.messages if text.strip()]
    return _("the input alone") if said == ["{{ input }}"] else _("not saved")


def _is_stale(at: CandidateDesk, draft: Draft) -> bool:
    assert at.answer is not None
    run, number = at.answer.run, at.answer.number
    if {"max_tokens", "temperature"} & at.problems.keys():
        return True
    model = str(at.model.uid) if at.model is not None else at.draft.model
    now = setup_of(draft, [model for _each in draft.candidates])
    then = run.setup
    return bool(
        (now["input"], now["columns"], now["candidates"][at.number])
        != (then["input"], then["columns"], then["candidates"][number - 1])
    )


@dataclass(frozen=True)
class Votes:
    """Answers of one run beside each other: (number in the run, how it is called here), and the one that was chosen."""

    options: list[tuple[int, str]]
    url: str = ""
    chosen: int | None = None
    chosen_letter: str = ""


def votes(*, user: Any, team: Team, at: Desk) -> Votes:
    """Where every answer of one run stands beside the others, and nothing was changed since."""
    fresh = [(each.answer, each.letter) for each in at.candidates if each.answer and not _is_stale(each, at.sent)]
    run = fresh[0][0].run if fresh else None
    letters = {answer.number: letter for answer, letter in fresh if answer.run == run}
    numbers = [answer.number for answer in votable(run)] if run is not None else []
    if run is None or len(numbers) < 2 or not set(numbers) <= letters.keys():
        return Votes([])
    chosen = chosen_number(user=user, run=run)
    url = reverse("playground_vote", args=[team.slug, run.uid])
    return Votes([(number, letters[number]) for number in numbers], url, chosen, letters[chosen] if chosen else "")


def compared(at: Desk) -> Compared:
    """Two answers word by word; the expected one first, where there is one."""
    texts: dict[str, str] = {} if at.expected is None else {"expected": at.expected}
    options = [] if at.expected is None else [("expected", _("Expected answer"))]
    for each in at.candidates:
        if each.answer is not None and each.answer.text:
            texts[str(each.number)] = each.answer.text
            options.append((str(each.number), f"{each.letter}: {each.name}"))
    if len(options) < 2:
        return Compared([])
    left = at.draft.left if at.draft.left in texts else options[0][0]
    right = at.draft.right if at.draft.right in texts else options[1][0]
    return Compared(options, left, right, texts[left], texts[right])
