"""Examples of the REST API's document: a request and its answer for each operation, recorded from real calls."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from drf_spectacular.utils import OpenApiExample

# One file for each tag: {operation: {"request": body, "answer": body}}.
FOLDER = Path(__file__).with_name("examples")


@dataclass(frozen=True)
class Refusal:
    """When a status is answered, and one problem document of it."""

    when: str
    code: str
    title: str


PROBLEMS = {
    400: Refusal(
        "The request cannot be read, lacks something, or says what cannot be.",
        "team_required",
        "You belong to several teams. Name one in the header LLMOpt-Team.",
    ),
    401: Refusal(
        "Nobody is signed in, or the API key or token is not valid; `code` says which.",
        "not_authenticated",
        "Send an API key or an access token in the header Authorization: Bearer …, or sign in.",
    ),
    402: Refusal(
        "A budget has no room for the call.",
        "budget_exceeded",
        "The budget of the team (Each month, 2026-11, $5.00) has no room for this call: $4.99 is spent, $0.00 is held, "
        "and the call may cost up to $0.02. Raise the budget, or wait until held money comes back.",
    ),
    403: Refusal(
        "The role in the team does not allow it, the API key has not the scope, or a session sent no CSRF token.",
        "forbidden",
        "Your role in this team does not allow this.",
    ),
    404: Refusal(
        "There is no such thing in the caller's teams, or in the team of the header.",
        "not_found",
        "There is no such dataset here.",
    ),
    409: Refusal(
        "The thing is not in the state that the change needs, something depends on it, or the Idempotency-Key was used "
        "with another request.",
        "conflict",
        "This experiment is registered. Clone it to change its definition.",
    ),
    413: Refusal(
        "The file is larger than this installation takes.",
        "file_too_large",
        "mail.csv is larger than 50 MB. Split it, or send fewer rows.",
    ),
    429: Refusal(
        "It was called too often. `Retry-After` says in how many seconds it may be called again.",
        "too_many_requests",
        "Too many requests. Wait 7 seconds, then go on.",
    ),
    502: Refusal("The provider failed, or refused this installation's key.", "bad_answer", "The answer is not JSON."),
    503: Refusal("The provider is overloaded.", "overloaded", "The provider is overloaded."),
    504: Refusal("The provider did not answer in time.", "timeout", "No complete answer within 120 s."),
}


def request_examples(operation: str) -> list[OpenApiExample]:
    recorded = _recorded().get(operation, {})
    if "request" not in recorded:
        return []
    return [OpenApiExample("Request", value=recorded["request"], request_only=True)]


def answer_examples(operation: str, status: int) -> list[OpenApiExample]:
    recorded = _recorded().get(operation, {})
    if "answer" not in recorded:
        return []
    value = recorded["answer"]
    # The generator puts the example of a list's rows into a list by itself.
    shown = value[0] if isinstance(value, list) else value
    return [OpenApiExample("Answer", value=shown, response_only=True, status_codes=[str(status)])]


def problem_examples(status: int) -> list[OpenApiExample]:
    refused = PROBLEMS[status]
    body = {
        "type": f"urn:llmopt:problem:{refused.code}",
        "title": refused.title,
        "status": status,
        "code": refused.code,
    }
    return [OpenApiExample("Problem", value=body, response_only=True, status_codes=[str(status)])]


@cache
def _recorded() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path in sorted(FOLDER.glob("*.json")):
        found |= json.loads(path.read_text(encoding="utf-8"))
    return found
