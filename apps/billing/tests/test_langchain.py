"""LangChain's runnables over metering: the documented example, streams, tools, structured answers and budgets."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings

from apps.accounts.models import Team, User
from apps.billing import loop_thread, selectors, services
from apps.billing.errors import BudgetExceeded
from apps.billing.generating import Caller, NoSuchModel, forget_models
from apps.billing.models import LedgerEntry
from apps.billing.tests.provider_world import GPT, commercial_model, provider_key
from apps.providers.models import LanguageModel
from apps.providers.tests.fake_openai import fake_openai
from apps.providers.tests.fake_provider import FakeProvider, Reply

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("empty_cache_memory")]
TEXT = "Hello there, how are you?"


@pytest.fixture
def server() -> Iterator[FakeProvider]:
    with fake_openai() as running:
        yield running
    # The connections of this test must not be the next one's.
    loop_thread.stop_loop_thread()


@pytest.fixture
def model(team: Team, server: FakeProvider, settings: Any) -> LanguageModel:
    forget_models()
    made = commercial_model(provider_key(team, server, settings))
    LanguageModel.objects.filter(pk=made.pk).update(served_name=GPT)
    return made


@pytest.fixture
def chat(model: LanguageModel, alice: User) -> Any:
    from apps.billing.langchain_chat import MeteredChatModel

    return MeteredChatModel(caller=Caller(model.team_id, alice.pk), model=GPT, max_tokens=64)


def test_the_documented_example_runs_and_is_in_the_books(
    model: LanguageModel, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (Path(django_settings.BASE_DIR) / "docs" / "langchain.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    exec(compile(example, "docs/langchain.md", "exec"), {})
    first = LedgerEntry.objects.order_by("id")[0]
    assert capsys.readouterr().out.splitlines() == [TEXT, f"{first.amount_nanousd} {first.uid.hex}", TEXT]
    assert LedgerEntry.objects.count() == 2


def test_pieces_come_one_by_one_in_both_worlds(chat: Any, alice: User) -> None:
    pieces = list(chat.stream("Say hello to me"))
    assert len(pieces) > 3
    assert "".join(str(piece.content) for piece in pieces) == TEXT

    async def all_of_them() -> list[Any]:
        return [piece async for piece in chat.astream("Say it again")]

    again = asyncio.run(all_of_them())
    assert "".join(str(piece.content) for piece in again) == TEXT
    assert {entry.person for entry in LedgerEntry.objects.all()} == {alice}
    assert again[-1].usage_metadata or again[-2].usage_metadata


def test_a_structured_answer_comes_through_a_tool(chat: Any, server: FakeProvider) -> None:
    from pydantic import BaseModel

    class Address(BaseModel):
        """A place."""

        city: str

    server.script(Reply(text="", tools=(("Address", '{"city": "Waco"}'),)))
    assert chat.with_structured_output(Address).invoke("1 Main St, Waco") == Address(city="Waco")
    assert "Address" in str(server.requests[0].body["tools"])


def test_a_conversation_with_tools_goes_both_ways(chat: Any, server: FakeProvider) -> None:
    from langchain_core.messages import HumanMessage, ToolMessage

    def look(at: str) -> str:
        """Look at something."""
        return at

    able = chat.bind_tools([look])
    server.script(Reply(text="", tools=(("look", '{"at": "it"}'),)), Reply(text="", tools=(("look", "no json"),)))
    asked = able.invoke("Look at it")
    assert [(call["name"], call["args"]) for call in asked.tool_calls] == [("look", {"at": "it"})]
    broken = able.invoke("Look again")
    assert [call["name"] for call in broken.invalid_tool_calls] == ["look"]
    said = [HumanMessage("Look at it"), asked, ToolMessage("seen", tool_call_id=asked.tool_calls[0]["id"])]
    assert able.invoke(said).content == TEXT


def test_a_chain_cannot_spend_past_a_budget(team: Team, alice: User, chat: Any, server: FakeProvider) -> None:
    services.budget_create(actor=alice, team=team, limit_nanousd=10)
    for ask in (lambda: chat.invoke("Hello"), lambda: list(chat.stream("Hello")), lambda: chat.batch(["a", "b"])):
        with pytest.raises(BudgetExceeded, match="has no room"):
            ask()
    assert server.requests == []


def test_many_at_once_share_one_loop_and_all_are_booked(chat: Any, server: FakeProvider) -> None:
    server.reply = Reply(delay=0.02)
    answers = chat.batch([f"number {n}" for n in range(12)], config={"max_concurrency": 6})
    assert [answer.content for answer in answers] == [TEXT] * 12
    assert 1 < server.most_at_once <= 6
    assert LedgerEntry.objects.filter(kind="settled").count() == 12
    assert selectors.ledger_balance_problems() == []


def test_a_stream_that_is_left_early_is_booked(chat: Any, server: FakeProvider) -> None:
    server.script(Reply(between=0.01))
    stream = chat.stream("Say hello to me")
    next(stream)
    stream.close()
    loop_thread.stop_loop_thread()
    assert LedgerEntry.objects.get().kind == "settled"
    assert selectors.held_total() == 0


def test_an_unknown_model_and_a_provider_that_refuses_say_so(
    team: Team, model: LanguageModel, server: FakeProvider
) -> None:
    from apps.billing.langchain_chat import CallFailed, MeteredChatModel

    with pytest.raises(NoSuchModel, match="There is no model nothing"):
        MeteredChatModel(caller=Caller(team.pk), model="nothing").invoke("Hello")
    server.reply = Reply(status=400, error=("invalid_value", "Not like this."))
    with pytest.raises(CallFailed, match="Not like this") as failed:
        MeteredChatModel(caller=Caller(team.pk), model=GPT, max_tokens=64).invoke("Hello")
    assert failed.value.code == "bad_request"
