"""Real processes that share the test's database."""

import multiprocessing
from collections.abc import Callable
from multiprocessing.context import ForkProcess

from django.db import connections

from apps.core.db import stop_database_thread

_fork = multiprocessing.get_context("fork")


def start_process(work: Callable[..., None], *args: object) -> ForkProcess:
    """Run `work` in a forked process. The parent's connections are closed first: two processes must not share one."""
    stop_database_thread()
    connections.close_all()
    process = _fork.Process(target=_run, args=(work, args))
    process.start()
    return process


def _run(work: Callable[..., None], args: tuple[object, ...]) -> None:
    work(*args)
    stop_database_thread()
    connections.close_all()
