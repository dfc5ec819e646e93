"""Database work from asyncio loops, and dying on purpose."""

import asyncio
import os
import signal
import threading
import time
from pathlib import Path

import pytest
from django.db import connection

from apps.billing.tests.processes import start_process
from apps.core.db import in_database, stop_database_thread
from apps.core.faults import fault_point
from apps.core.tests.installation import python

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


# What a restart of the server does: connections die, and nobody is told. `ask` names the connection that answered it.
RESTARTED = """
import asyncio, os, django
django.setup()
from django.db import connection, connections
from apps.core.db import in_database

def ask():
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()" if connection.vendor == "postgresql" else "SELECT 1")
        return cursor.fetchone()[0]

def kill_all():
    import psycopg
    ours = "FROM pg_stat_activity WHERE application_name = %s AND pid <> pg_backend_pid()"
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as other:
        assert other.execute(f"SELECT pg_terminate_backend(pid, 5000) {ours}", [os.environ["PGAPPNAME"]]).fetchall()

async def main():
    before = await in_database(ask)
    pooled = bool(connection.settings_dict["OPTIONS"].get("pool"))
    if pooled:
        await in_database(connections.close_all)  # gives it back to the pool
    if connection.vendor == "postgresql":
        kill_all()
        assert await in_database(ask) != before
    print(connection.settings_dict["CONN_MAX_AGE"], pooled)

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("role", "postgresql", "sqlite"), [("web", "0 True", "0 False"), ("worker", "300 False", "None False")]
)
def test_a_connection_that_died_unseen_is_replaced(role: str, postgresql: str, sqlite: str, tmp_path: Path) -> None:
    """With the settings of a process in that role, which tests do not have."""
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "llmopt.settings.dev",
        "LLMOPT_ROLE": role,
        "LLMOPT_VAR_DIR": str(tmp_path),
        "PGAPPNAME": f"restarted-{role}",
    }
    answer = python(RESTARTED, environment)
    # A pool that opens one more connection just then warns, and opens another.
    assert [line for line in answer.stderr.splitlines() if '"psycopg.pool"' not in line] == []
    assert answer.stdout.strip() == (postgresql if connection.vendor == "postgresql" else sqlite)


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
