"""The checks of apps.core.health, run one at a time for the whole process and remembered for a moment.

Probes come often, from anywhere and without a login; each run costs several queries and a call to another process.
"""

import time
from collections.abc import Callable
from threading import Lock

from django.utils.translation import gettext as _

from apps.core.health import Check

REMEMBER_SECONDS = 1.0
LIMIT_SECONDS = 10.0

_lock = Lock()
_checks: list[Check] = []
_until = float("-inf")


def remembered(run: Callable[[], list[Check]]) -> list[Check]:
    """What `run` said within the last second, else what it says now. Waits for a run that is under way, to a limit."""
    global _checks, _until
    if not _lock.acquire(timeout=LIMIT_SECONDS):
        return no_answer()
    try:
        if time.monotonic() >= _until:
            _checks = run()
            _until = time.monotonic() + REMEMBER_SECONDS
        return _checks
    finally:
        _lock.release()


def no_answer() -> list[Check]:
    return [Check("checks", False, _("no answer within %(seconds)d s") % {"seconds": LIMIT_SECONDS})]


def forget() -> None:
    """Ask again at the next call."""
    global _until
    _until = float("-inf")
