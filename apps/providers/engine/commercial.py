"""Models of commercial providers: what every team is offered, and until when a provider answers for a name.

Names and context lengths are those of genai-prices' data; dates of retirement are those that the providers' own
libraries (openai 3.54, anthropic 2.12) carry; the successors, and what those leave out, were read on the pages
developers.openai.com/api/docs/deprecations and platform.claude.com/docs/en/about-claude/model-deprecations in November
2026. A test compares the first two. Prices are billing's, and what a model refuses stands in
`apps.providers.engine.parameters`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date

OPENAI, ANTHROPIC = "openai", "anthropic"
# A snapshot is what the name without its day is: gpt-5-mini-2025-08-07, claude-haiku-4-5-20251001, gpt-4-0613.
_DAY = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{8}|\d{4})$")


@dataclass(frozen=True, slots=True)
class CommercialModel:
    """A provider's model. `replaced_by` is what the provider names for the time after `retires_on`, if anything."""

    provider: str
    name: str
    label: str
    context_length: int
    retires_on: date | None = None
    replaced_by: str = ""
    # Shown to a team that has not added it.
    offered: bool = False

    def retired(self, on: date) -> bool:
        """Whether the provider no longer answers for it on that day."""
        return self.retires_on is not None and self.retires_on <= on


def _offered(provider: str, name: str, label: str, context: int, until: str = "", then: str = "") -> CommercialModel:
    return CommercialModel(provider, name, label, context, date.fromisoformat(until) if until else None, then, True)


def _known(provider: str, name: str, context: int, until: str, then: str = "") -> CommercialModel:
    return CommercialModel(provider, name, name, context, date.fromisoformat(until), then)


COMMERCIAL_MODELS: tuple[CommercialModel, ...] = (
    _offered(OPENAI, "gpt-6-luna", "GPT-6 Luna", 1_050_000),
    _offered(OPENAI, "gpt-6.1-terra", "GPT-6.1 Terra", 1_050_000),
    _offered(OPENAI, "gpt-6.1-sol", "GPT-6.1 Sol", 1_050_000),
    _offered(OPENAI, "gpt-6-astra", "GPT-6 Astra", 1_050_000),
    _offered(OPENAI, "gpt-5.4-mini", "GPT-5.4 mini", 400_000),
    _offered(OPENAI, "gpt-5-mini", "GPT-5 mini", 400_000, "2026-12-11", "gpt-6.1-terra"),
    _offered(OPENAI, "gpt-4.1-mini", "GPT-4.1 mini", 1_000_000, "2027-01-14", "gpt-6-luna"),
    _offered(OPENAI, "gpt-4-turbo", "GPT-4 Turbo", 128_000, "2026-10-23", "gpt-5.6-sol"),
    _offered(OPENAI, "gpt-4", "GPT-4", 8_192, "2026-10-23", "gpt-5.6-sol"),
    _offered(OPENAI, "gpt-3.5-turbo", "GPT-3.5 Turbo", 16_385, "2026-10-23", "gpt-5.6-terra"),
    _offered(ANTHROPIC, "claude-haiku-5-5", "Claude Haiku 5.5", 1_000_000),
    _offered(ANTHROPIC, "claude-sonnet-5-5", "Claude Sonnet 5.5", 1_000_000),
    _offered(ANTHROPIC, "claude-opus-5-5", "Claude Opus 5.5", 1_000_000),
    _offered(ANTHROPIC, "claude-fable-5-2", "Claude Fable 5.2", 1_000_000),
    _offered(ANTHROPIC, "claude-haiku-4-5", "Claude Haiku 4.5", 200_000),
    _known(OPENAI, "gpt-5.4-nano", 400_000, "2027-04-01"),
    _known(OPENAI, "gpt-5.1", 400_000, "2027-04-01"),
    _known(OPENAI, "gpt-4.1", 1_000_000, "2027-01-14", "gpt-6-luna"),
    _known(OPENAI, "gpt-4o", 128_000, "2027-01-14", "gpt-6-luna"),
    _known(OPENAI, "gpt-4o-mini", 128_000, "2027-01-14", "gpt-6-luna"),
    _known(OPENAI, "gpt-5", 400_000, "2026-12-11", "gpt-6.1-sol"),
    _known(OPENAI, "gpt-5-nano", 400_000, "2026-12-11"),
    _known(OPENAI, "o3", 200_000, "2026-12-11", "gpt-5.6-sol"),
    _known(OPENAI, "gpt-4.1-nano", 1_000_000, "2026-10-23", "gpt-5.6-luna"),
    _known(OPENAI, "o4-mini", 200_000, "2026-10-23", "gpt-5.6-terra"),
    _known(OPENAI, "o3-mini", 200_000, "2026-10-23", "gpt-5.6-sol"),
    _known(OPENAI, "o1", 200_000, "2026-10-23", "gpt-5.6-sol"),
    _known(OPENAI, "gpt-4o-2024-05-13", 128_000, "2026-10-23", "gpt-5.6-sol"),
    _known(OPENAI, "gpt-4-1106-preview", 128_000, "2026-10-23", "gpt-5.6-sol"),
    _known(OPENAI, "gpt-3.5-turbo-1106", 16_385, "2026-09-28", "gpt-5.6-terra"),
    _known(OPENAI, "gpt-4-0314", 8_192, "2026-03-26", "gpt-5.6-sol"),
    _known(OPENAI, "gpt-3.5-turbo-0613", 16_385, "2024-09-13", "gpt-5.6-terra"),
    _known(OPENAI, "gpt-3.5-turbo-0301", 4_096, "2024-09-13", "gpt-5.6-terra"),
    _known(OPENAI, "gpt-5.3-chat-latest", 128_000, "2026-08-10", "gpt-5.5"),
    _known(OPENAI, "gpt-5.2-chat-latest", 400_000, "2026-08-10", "gpt-5.5"),
    _known(OPENAI, "o1-mini", 128_000, "2025-10-27"),
    _known(OPENAI, "o1-preview", 128_000, "2025-07-28"),
    _known(ANTHROPIC, "claude-sonnet-4-5", 200_000, "2026-11-30", "claude-sonnet-5-5"),
    _known(ANTHROPIC, "claude-opus-4-0", 200_000, "2026-06-15", "claude-opus-4-8"),
    _known(ANTHROPIC, "claude-opus-4", 200_000, "2026-06-15", "claude-opus-4-8"),
    _known(ANTHROPIC, "claude-sonnet-4-0", 200_000, "2026-06-15", "claude-sonnet-4-6"),
    _known(ANTHROPIC, "claude-sonnet-4", 200_000, "2026-06-15", "claude-sonnet-4-6"),
    _known(ANTHROPIC, "claude-3-7-sonnet-latest", 200_000, "2026-02-19"),
    _known(ANTHROPIC, "claude-3-7-sonnet", 200_000, "2026-02-19"),
    _known(ANTHROPIC, "claude-3-5-haiku-latest", 200_000, "2026-02-19"),
    _known(ANTHROPIC, "claude-3-5-haiku", 200_000, "2026-02-19"),
    _known(ANTHROPIC, "claude-3-opus", 200_000, "2026-01-05"),
)
_BY_NAME = {(model.provider, model.name): model for model in COMMERCIAL_MODELS}


def offered_models(provider: str) -> list[CommercialModel]:
    """What a team is shown of a provider, whether it has added it or not."""
    return [model for model in COMMERCIAL_MODELS if model.offered and model.provider == provider]


def commercial_model(provider: str, name: str) -> CommercialModel | None:
    """What is written down of a provider's model, by its name or that of a snapshot; None where nothing is."""
    return _BY_NAME.get((provider, name)) or _BY_NAME.get((provider, _DAY.sub("", name)))


def smallest_of_each_provider(on: date) -> list[CommercialModel]:
    """The model that a provider's part of the list begins with, of those that still answer on that day."""
    current = [model for model in COMMERCIAL_MODELS if model.offered and not model.retired(on)]
    first: dict[str, CommercialModel] = {}
    for model in current:
        first.setdefault(model.provider, model)
    return list(first.values())
