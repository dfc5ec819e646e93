"""Database work from an asyncio loop: one dedicated thread, so that SQLite sees one writer per process.

`in_database` is the only way for a loop to touch the ORM.
"""

import asyncio
import os
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from threading import Lock
from typing import Any, TypeVar

from django.db import InterfaceError, OperationalError, close_old_connections, connections

T = TypeVar("T")

_lock = Lock()
_thread: ThreadPoolExecutor | None = None


def is_database_away(error: BaseException) -> bool:
    """Whether the database could not be reached, or was busy too long: another try may do, nothing has to be mended."""
    if isinstance(error, BaseExceptionGroup):
        return any(is_database_away(part) for part in error.exceptions)
    return isinstance(error, OperationalError | InterfaceError)


def _forget_thread() -> None:
    # A forked child inherits the object but not the thread; its first use starts one of its own.
    global _thread
    _thread = None


os.register_at_fork(after_in_child=_forget_thread)


def _database_thread() -> ThreadPoolExecutor:
    global _thread
    with _lock:
        if _thread is None:
            _thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="database")
        return _thread


def _with_fresh_connection(fn: Callable[..., T], args: tuple[object, ...]) -> T:
    # Without this, every call after a restart of the database server fails on the dead connection.
    close_old_connections()
    return fn(*args)


async def in_database(fn: Callable[..., T], *args: object) -> T:
    """Run `fn(*args)` in this process's database thread and return its result.

    Work that has begun is waited for even when the calling task is cancelled, so that nobody has to guess whether a
    transaction was committed; the cancellation is raised afterwards.
    """
    context = copy_context()
    work = asyncio.get_running_loop().run_in_executor(_database_thread(), context.run, _with_fresh_connection, fn, args)
    return await ended(work)


_being_asked: "dict[tuple[asyncio.AbstractEventLoop, Hashable], asyncio.Task[Any]]" = {}


async def in_database_once(name: Hashable, fn: Callable[..., T], *args: object) -> T:
    """As `in_database`, for a read: who asks for the same `name` while it is under way gets its result too."""
    place = (asyncio.get_running_loop(), name)
    work = _being_asked.get(place)
    if work is None:
        work = _being_asked[place] = asyncio.ensure_future(in_database(fn, *args))
        work.add_done_callback(lambda _done: _being_asked.pop(place))
    # One that leaves must not take the answer away from the others.
    result: T = await asyncio.shield(work)
    return result


async def ended(work: "asyncio.Future[T]") -> T:
    """The result of work that is waited for even when the calling task is cancelled; that is raised afterwards."""
    cancelled: asyncio.CancelledError | None = None
    while not work.done():
        try:
            await asyncio.wait([work])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        if not work.cancelled():
            work.exception()  # seen, so that asyncio does not report it as never retrieved
        raise cancelled
    return work.result()


def stop_database_thread() -> None:
    """Close the thread's connections and end it. The next `in_database` starts a new one."""
    global _thread
    with _lock:
        thread, _thread = _thread, None
    if thread is not None:
        thread.submit(connections.close_all).result()
        thread.shutdown()
