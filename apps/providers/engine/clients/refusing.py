"""Refusing before anything is sent what a provider is known to refuse, by the parameter's name."""

from __future__ import annotations

from apps.core.engine.messages import gettext_noop
from apps.providers.engine.clients.base import BadRequest, GenerateRequest
from apps.providers.engine.parameters import NEUTRAL, refused_parameters

#: OpenAI's Responses API refuses a lower bound of the answer.
LEAST_MAX_TOKENS = 16


def check_parameters(request: GenerateRequest, provider: str, *, api: str = "") -> None:
    """Raise ``BadRequest`` for a parameter whose value would be refused, or would silently mean nothing."""
    refused = refused_parameters(provider, request.model, reasoning_effort=request.reasoning_effort, api=api)
    for name in sorted(refused):
        if getattr(request, name) not in NEUTRAL[name]:
            raise refuse(name, request)


def fits_responses(request: GenerateRequest) -> bool:
    """Whether OpenAI's Responses API has a place for everything that the request sets."""
    return not request.stop and request.seed is None and request.max_tokens >= LEAST_MAX_TOKENS


def refuse(parameter: str, request: GenerateRequest) -> BadRequest:
    """The error for a parameter that the model's provider does not take."""
    template = gettext_noop("%(model)s takes no %(parameter)s from its provider's API. Leave it out for this model.")
    return BadRequest(template, sent=False, model=request.model, parameter=parameter)
