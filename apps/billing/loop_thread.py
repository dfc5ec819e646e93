"""Calls from code that is not asynchronous: one event loop in one thread of each process, with one metering."""

import asyncio
import os
import threading
from collections.abc import Coroutine, Iterator
from contextlib import aclosing
from queue import SimpleQueue
from typing import Any, TypeVar

from apps.billing.calls import MeteredCall, MeteredResult
from apps.billing.metering import Metering, StreamEvent

T = TypeVar("T")

_lock = threading.Lock()
_running: "_LoopThread | None" = None


class _LoopThread:
    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._run, name="metering", daemon=True)
        self.metering = Metering()
        self.thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    def wait_for(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    def stop(self) -> None:
        self.wait_for(self.metering.__aexit__(None, None, None))
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


def _forget_thread() -> None:
    # A forked child inherits the object but not the thread.
    global _running
    _running = None


os.register_at_fork(after_in_child=_forget_thread)


def _thread() -> _LoopThread:
    global _running
    with _lock:
        if _running is None:
            _running = _LoopThread()
        return _running


def generate(call: MeteredCall) -> MeteredResult:
    """As `Metering.generate`, waited for. Not from an event loop: await the metering there."""
    running = _thread()
    return running.wait_for(running.metering.generate(call))


def stream(call: MeteredCall) -> Iterator[StreamEvent | MeteredResult]:
    """As `Metering.stream`. Closing the iterator early leaves the answer as a caller does who hangs up."""
    running, ready = _thread(), SimpleQueue[Any]()

    async def pump() -> None:
        try:
            async with aclosing(running.metering.stream(call)) as pieces:
                async for piece in pieces:
                    ready.put(piece)
            ready.put(None)
        except BaseException as error:
            ready.put(error)
            raise

    work = asyncio.run_coroutine_threadsafe(pump(), running.loop)
    try:
        while (piece := ready.get()) is not None:
            if isinstance(piece, BaseException):
                raise piece
            yield piece
    finally:
        work.cancel()


def stop_loop_thread() -> None:
    """Book what is under way and end the thread. The next call starts a new one."""
    global _running
    with _lock:
        running, _running = _running, None
    if running is not None:
        running.stop()
