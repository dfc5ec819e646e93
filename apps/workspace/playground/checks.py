"""What has to be right before a draft of the playground is sent."""

from django.utils.translation import gettext as _

from apps.core.errors import ApplicationError, translated
from apps.experiments.engine.prompts import PromptError, check_template, known_variables
from apps.workspace.playground.desk import CandidateDesk, Desk

MOST_CHARACTERS = 100_000
MOST_TOKENS = 4096
HOTTEST = 2.0


def check(candidate: CandidateDesk, at: Desk) -> None:
    """Note what is wrong with the candidate's figures and messages, by field."""
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
