"""Two who want the same at once: the second one acts while the first one's transaction is still open."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from django.db import connection, transaction

T = TypeVar("T")


def second_of_two(first: Callable[[], object], second: Callable[[], T]) -> T:
    """What `second` gives or raises when it is called between `first` and its commit, half a second later."""
    acted = threading.Event()

    def act_and_wait() -> None:
        try:
            with transaction.atomic():
                first()
                acted.set()
                time.sleep(0.5)
        finally:
            connection.close()

    thread = threading.Thread(target=act_and_wait)
    thread.start()
    try:
        assert acted.wait(10)
        return second()
    finally:
        thread.join(10)
