"""Clients that stand where a model's own would be; everything around them is real."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from apps.billing.metering import Metering
from apps.evaluation import running
from apps.experiments.models import Candidate
from apps.providers.engine.clients.base import GenerateRequest, GenerateResult, Usage


def do_nothing() -> None:
    return None


class Client:
    """Answers from `texts` in turn; `before` runs before each answer and may raise."""

    def __init__(self, *texts: str, before: Callable[[], None] = do_nothing) -> None:
        self.texts, self.before, self.calls = list(texts) or ["{}"], before, 0

    async def generate(self, request: GenerateRequest) -> GenerateResult:
        await asyncio.to_thread(self.before)
        text = self.texts[self.calls % len(self.texts)]
        self.calls += 1
        return GenerateResult(
            text=text, finish_reason="stop", usage=Usage(3, 2), latency_ms=1.0, compute_seconds=0.001,
            model_reported="m", request_id="r",
        )  # fmt: skip

    async def aclose(self) -> None:
        return None


def serve(monkeypatch: pytest.MonkeyPatch, candidate: Candidate, client: Client, **options: Any) -> None:
    """Put `client` where the one of the candidate's model would be made."""
    name = candidate.language_model.served_name
    monkeypatch.setattr(running, "Metering", lambda **more: Metering(clients={name: client}, **more, **options))
