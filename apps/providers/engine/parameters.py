"""Which parameters a provider or a model is known to refuse, so that they are refused here by name.

Only what is certain stands here. Anything else is sent as it is, and the provider's own refusal says what is wrong.
Sources: OpenAI's reference of the Responses API and its reasoning guide; Anthropic's API version 2026-10-21, which
refuses sampling parameters for every model.
"""

from __future__ import annotations

import re

#: Values under which leaving a parameter out changes nothing.
NEUTRAL: dict[str, tuple[object, ...]] = {"temperature": (None, 1), "top_p": (None, 1), "seed": (None,), "stop": ((),)}
_SAMPLING = frozenset({"temperature", "top_p"})
_ALWAYS_REASONS = re.compile(r"o\d|gpt-5(-(mini|nano|pro|codex)|-\d{4}|$)")
_MAY_REASON = re.compile(r"gpt-([6-9]|5\.)")
# Their reasoning effort is "none" unless it is set.
_REASONS_WHEN_ASKED = re.compile(r"gpt-5\.[124](-mini|-nano)?(-\d{4}|$)")


def refused_parameters(provider: str, model: str, *, reasoning_effort: str = "", api: str = "") -> frozenset[str]:
    """Names of the parameters that have to stay at their default for this provider's model.

    ``provider`` is ``openai``, ``anthropic`` or anything else, of which nothing is known. ``api`` is ``responses``
    where OpenAI is called through that API alone, which knows fewer parameters than its chat completions.
    """
    if provider == "anthropic":
        return _SAMPLING | {"seed"}
    if provider != "openai":
        return frozenset()
    refused = frozenset({"seed", "stop"}) if api == "responses" else frozenset[str]()
    return refused | _SAMPLING if _reasons(model.lower().removeprefix("ft:"), reasoning_effort) else refused


def _reasons(model: str, effort: str) -> bool:
    """Whether the model is known to reason with this effort; then it refuses sampling parameters."""
    if "chat" in model:
        return False
    if _ALWAYS_REASONS.match(model):
        return True
    if not _MAY_REASON.match(model) or effort == "none":
        return False
    return bool(effort) or not _REASONS_WHEN_ASKED.match(model)


# Named as such on their pages in OpenAI's reference of models.
_ONLY_RESPONSES = re.compile(r"(o\d|gpt-\d+(\.\d+)?)-pro(-\d{4}|$)|.*codex|.*-deep-research|computer-use-preview")


def only_responses(model: str) -> bool:
    """Whether OpenAI offers the model through its Responses API alone."""
    return _ONLY_RESPONSES.match(model.lower()) is not None


#: Tokens that a model which always reasons gets for that, beside those of the answer: its bound covers both.
REASONING_ROOM = 1024


def least_reasoning(provider: str, model: str) -> tuple[str, int]:
    """The effort with which a model is asked for a plain answer, and the room that its reasoning needs.

    A model that may reason or not is asked not to: then its bound is the answer's, and it takes a temperature. One that
    always reasons is asked to do so as little as it can. Empty for what takes no effort.
    """
    name = model.lower().removeprefix("ft:")
    if provider != "openai" or "chat" in name:
        return "", 0
    if _ALWAYS_REASONS.match(name):
        return ("minimal" if name.startswith("gpt-5") else "low"), REASONING_ROOM
    return ("none" if _MAY_REASON.match(name) else ""), 0
