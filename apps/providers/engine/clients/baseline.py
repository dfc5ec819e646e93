"""Free baselines behind the same protocol as a model."""

from __future__ import annotations

import time
import uuid
from functools import cached_property
from typing import TYPE_CHECKING

from apps.core.engine.messages import gettext_noop
from apps.providers.engine import baselines
from apps.providers.engine.clients.base import (
    BadRequest,
    Finished,
    GenerateRequest,
    GenerateResult,
    StreamEvent,
    TextDelta,
    Usage,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable


class BaselineClient:
    """Answers from an artefact of ``apps.providers.engine.baselines``, in this process.

    The input is the content of the last user message. Baselines read no tokens, so every usage is 0; the compute
    seconds are the time of the prediction alone, without the preparation of the artefact.
    """

    def __init__(self, artefact: baselines.Artefact, *, name: str) -> None:
        self._artefact = artefact
        self._name = name

    @cached_property
    def _predict(self) -> Callable[[str], str]:
        return baselines.predictor(self._artefact)

    async def generate(self, request: GenerateRequest) -> GenerateResult:
        """The baseline's answer; raises ``BadRequest`` when no user message is there to answer."""
        inputs = [message.content for message in request.messages if message.role == "user"]
        if not inputs:
            raise BadRequest(gettext_noop("A baseline answers the last user message, and there is none."), sent=False)
        predict = self._predict
        started = time.perf_counter()
        text = predict(inputs[-1])
        seconds = time.perf_counter() - started
        return GenerateResult(
            text=text,
            finish_reason="stop",
            usage=Usage(prompt_tokens=0, completion_tokens=0),
            latency_ms=seconds * 1000,
            compute_seconds=seconds,
            model_reported=self._name,
            request_id=f"baseline-{uuid.uuid4().hex}",
        )

    async def stream(self, request: GenerateRequest) -> AsyncGenerator[StreamEvent, None]:
        """The whole answer in one piece."""
        result = await self.generate(request)
        if result.text:
            yield TextDelta(result.text)
        yield Finished(result)

    async def aclose(self) -> None:
        """Nothing to give back."""
