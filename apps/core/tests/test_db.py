"""Database work from asyncio loops, and dying on purpose."""

import asyncio
import os
import signal
import threading
import time
from pathlib import Path

import pytest
from django.db import connection

from apps.accounts.models import Team
from apps.billing.tests.processes import start_process
from apps.core.db import in_database, stop_database_thread
from apps.core.faults import fault_point

pytestmark = pytest.mark.both_databases


def test_all_work_runs_in_one_thread_that_is_not_the_loop_s() -> None:
    async def threads() -> set[int]:
        return set(await asyncio.gather(*(in_database(threading.get_ident) for _ in range(10))))

    (thread,) = asyncio.run(threads())
    assert thread != threading.get_ident()


def test_an_error_reaches_the_caller() -> None:
    def fails() -> None:
        raise KeyError("lost")

    with pytest.raises(KeyError, match="lost"):
        asyncio.run(in_database(fails))


@pytest.mark.django_db(transaction=True)
def test_a_dead_connection_is_replaced(team: Team) -> None:
    def break_connection() -> None:
        connection.ensure_connection()
        connection.connection.close()
        connection.errors_occurred = True

    async def work() -> int:
        await in_database(break_connection)
        return await in_database(Team.objects.count)

    assert asyncio.run(work()) == 1


def test_a_cancelled_caller_waits_for_the_work_that_has_begun() -> None:
    begun, done = threading.Event(), []

    def slow() -> None:
        begun.set()
        time.sleep(0.05)
        done.append(True)

    async def cancel() -> None:
        waiting = asyncio.ensure_future(in_database(slow))
        await asyncio.to_thread(begun.wait)
        waiting.cancel()
        await waiting

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancel())
    assert done == [True]


def test_the_thread_can_be_stopped_and_comes_back() -> None:
    assert asyncio.run(in_database(os.getpid)) == os.getpid()
    stop_database_thread()
    assert asyncio.run(in_database(os.getpid)) == os.getpid()


def pass_three_times(fault: str, folder: str, reached: str) -> None:
    os.environ.update(LLMOPT_FAULT=fault, LLMOPT_FAULT_DIR=folder)
    for passing in range(3):
        fault_point("claim")
        Path(reached).write_text(str(passing + 1))


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("fault", "passings"), [("claim", None), ("claim:1", None), ("claim:3", "2"), ("spawn", "3")])
def test_a_fault_kills_once_at_the_passing_it_names(tmp_path: Path, fault: str, passings: str | None) -> None:
    reached, folder = tmp_path / "reached", tmp_path / "faults"
    folder.mkdir()
    process = start_process(pass_three_times, fault, str(folder), str(reached))
    process.join()
    assert process.exitcode == (0 if fault == "spawn" else -signal.SIGKILL)
    assert (reached.read_text() if reached.exists() else None) == passings

    again = start_process(pass_three_times, fault, str(folder), str(reached))
    again.join()
    assert again.exitcode == 0
    assert reached.read_text() == "3"
