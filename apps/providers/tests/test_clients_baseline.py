from __future__ import annotations

import pytest

from apps.providers.engine import baselines
from apps.providers.engine.clients.base import BadRequest, GenerateRequest, Usage
from apps.providers.engine.clients.baseline import BaselineClient
from apps.providers.engine.messages import Message

ROWS = [("1 Main Street", '{"number":"1"}'), ("77 Oak Avenue Springfield", '{"number":"77"}')]


def request(*messages: Message) -> GenerateRequest:
    return GenerateRequest(model="baseline", messages=messages, max_tokens=96)


async def test_a_baseline_answers_the_last_user_message_without_tokens() -> None:
    client = BaselineClient(baselines.fit_nearest(ROWS), name="nearest")
    result = await client.generate(
        request(Message("system", "rules"), Message("user", "1 Main Street"), Message("assistant", "x"),
                Message("user", "78 Oak Avenue Springfield"))
    )  # fmt: skip
    assert result.text == '{"number":"77"}'
    assert result.usage == Usage(0, 0)
    assert (result.finish_reason, result.model_reported) == ("stop", "nearest")
    assert result.compute_seconds is not None
    assert result.latency_ms == result.compute_seconds * 1000 > 0


async def test_a_baseline_answers_as_the_artefact_predicts() -> None:
    artefact = baselines.fit_most_frequent([*ROWS, ROWS[0]])
    client = BaselineClient(artefact, name="most frequent")
    result = await client.generate(request(Message("user", "anything")))
    assert result.text == baselines.predict(artefact, "anything") == '{"number":"1"}'
    await client.aclose()


async def test_without_a_user_message_there_is_nothing_to_answer() -> None:
    client = BaselineClient(baselines.fit_nearest(ROWS), name="nearest")
    with pytest.raises(BadRequest) as caught:
        await client.generate(request(Message("system", "rules")))
    assert not caught.value.sent
