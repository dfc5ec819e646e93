"""A process that is killed inside a call leaves neither money held nor a settled entry without its output."""

import asyncio
import json
import os
import signal
from pathlib import Path

import pytest

from apps.accounts.models import Team
from apps.billing import selectors, services
from apps.billing.metering import GenerateRequest, Message, MeteredCall, MeteredResult, Metering, ModelFacts
from apps.billing.models import CachedResponse, LedgerEntry, Reservation
from apps.billing.tests.processes import start_process
from apps.core import artifacts, audit
from apps.core.models import AuditEvent
from apps.core.tests.factories import BudgetFactory, LanguageModelFactory, PriceFactory
from apps.providers.engine.baselines import fit_most_frequent
from apps.providers.models import LanguageModel

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both_databases]


@pytest.fixture
def model(team: Team) -> LanguageModel:
    PriceFactory.create()
    BudgetFactory.create(team=team)
    name = artifacts.put_bytes("baselines/most.json", json.dumps(fit_most_frequent([("a", '{"city":"X"}')])).encode())
    return LanguageModelFactory.create(team=team, kind="baseline", artifact=name)


def call_once(model: LanguageModel, fault: str, folder: str) -> None:
    os.environ.update(LLMOPT_FAULT=fault, LLMOPT_FAULT_DIR=folder)

    def store(result: MeteredResult) -> None:
        audit.record(actor=None, verb="test.output", target=model, text=result.text)

    async def call() -> None:
        async with Metering() as metering:
            await metering.generate(
                MeteredCall(
                    team_id=model.team_id,
                    experiment_id=None,
                    language_model=ModelFacts.of(model),
                    request=GenerateRequest(model=model.served_name, messages=(Message("user", "x"),), max_tokens=8),
                    purpose="killed",
                    store=store,
                )
            )

    asyncio.run(call())


def run(model: LanguageModel, fault: str, folder: Path) -> int | None:
    process = start_process(call_once, model, fault, str(folder))
    process.join()
    return process.exitcode


def outputs() -> int:
    return AuditEvent.objects.filter(verb="test.output").count()


@pytest.mark.parametrize(
    ("fault", "left_behind"), [("reserve", "released"), ("call", "unknown"), ("settle", "unknown")]
)
def test_a_kill_is_swept_at_once_and_the_work_can_be_done_again(
    model: LanguageModel, tmp_path: Path, fault: str, left_behind: str
) -> None:
    assert run(model, fault, tmp_path) == -signal.SIGKILL
    assert outputs() == 0
    assert CachedResponse.objects.count() == 0
    held = Reservation.objects.get(state="held").held_nanousd
    assert selectors.held_total() == held

    services.reservations_sweep()

    assert Reservation.objects.get().state == left_behind
    assert selectors.held_total() == 0
    unknown = list(LedgerEntry.objects.values_list("kind", "amount_nanousd"))
    assert unknown == ([("unknown", held)] if left_behind == "unknown" else [])
    assert selectors.ledger_balance_problems() == []

    # The marker of the first death keeps the second run alive.
    assert run(model, fault, tmp_path) == 0
    assert outputs() == 1
    assert LedgerEntry.objects.filter(kind="settled").count() == 1
    assert selectors.held_total() == 0
    assert selectors.ledger_balance_problems() == []


def test_the_sweep_leaves_a_living_process_alone(model: LanguageModel, tmp_path: Path) -> None:
    assert run(model, "reserve", tmp_path) == -signal.SIGKILL
    from apps.billing import holders

    Reservation.objects.update(holder=holders.this_process())
    assert services.reservations_sweep() == []
    assert Reservation.objects.get().state == "held"


def test_a_kill_while_an_answer_from_the_cache_is_stored_leaves_nothing_of_it(
    model: LanguageModel, tmp_path: Path
) -> None:
    assert run(model, "nowhere", tmp_path) == 0
    assert run(model, "hit", tmp_path) == -signal.SIGKILL
    assert outputs() == 1

    assert run(model, "hit", tmp_path) == 0
    assert outputs() == 2
    assert list(LedgerEntry.objects.order_by("id").values_list("kind", flat=True)) == ["settled", "cached"]
