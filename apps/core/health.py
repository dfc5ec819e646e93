"""Whether an installation can do its work: each dependency asked once, in words a person can act on."""

import http.client
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings
from django.core.cache import cache
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.db import close_old_connections, connection
from django.db.migrations.executor import MigrationExecutor
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django_q.brokers import get_broker

from apps.core import shared_store
from apps.core.processes import busy
from apps.core.processes.cluster import cluster_names, worker_count
from apps.core.processes.supervisor import STARTED_VARIABLE
from apps.core.processes.watchdog import seconds_since_answer
from apps.core.sealed_rows import unreadable_count

# The watchdog asks every 15 s and restarts after 60 s; beyond both, something is wrong that it did not mend.
CLUSTER_SILENT_SECONDS = 120.0
_STORAGE_EVERY_SECONDS = 30.0
_SECRETS_EVERY_SECONDS = 30.0
_INFERENCE_SECONDS = 2.0
_CACHE_SECONDS = 60


@dataclass(frozen=True)
class Check:
    """`detail` says what is wrong and what to do; it holds no secret and no path of a person's data.

    It also says what is worse than it should be and keeps nothing from working, where `ok` holds.
    """

    name: str
    ok: bool
    detail: str = ""


class Unwell(Exception):
    """A check's own sentence."""


def readiness() -> list[Check]:
    """Every check of this installation, each in its own right. Needs the database connection of this thread."""
    checks: list[tuple[str, Callable[[], str | None]]] = [
        ("database", check_database),
        ("migrations", check_migrations),
        ("cache", check_cache),
        ("queue", check_queue),
        ("storage", check_storage),
        ("secrets", check_secrets),
    ]
    if settings.EMBEDDED:
        checks.append(("inference", check_inference))
        checks.extend((f"cluster {name}", _cluster_check(name)) for name in cluster_names())
    return [_run(name, check) for name, check in checks]


def readiness_in_thread() -> list[Check]:
    """`readiness` for a thread that is not a request's, and so has to give its connection back itself."""
    close_old_connections()
    try:
        return readiness()
    finally:
        close_old_connections()


def _run(name: str, check: Callable[[], str | None]) -> Check:
    try:
        detail = check() or ""
    except Unwell as error:
        return Check(name, False, str(error))
    except Exception as error:
        # The message of a driver may hold an address with a password; its type does not.
        return Check(name, False, type(error).__name__)
    return Check(name, True, detail)


def check_database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        cursor.fetchone()


_migrated = False


def check_migrations() -> None:
    """Looked at until all are applied: a running process cannot lose one."""
    global _migrated
    if _migrated:
        return
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if plan:
        said = ngettext(
            "%(n)d migration is not applied; run: manage.py migrate",
            "%(n)d migrations are not applied; run: manage.py migrate",
            len(plan),
        )
        raise Unwell(said % {"n": len(plan)})
    _migrated = True


def check_cache() -> str | None:
    """Write and read back; under a name of this process, so that two that ask at once do not disturb each other.

    Without Redis every process goes on by itself, so that its absence is no reason to send nobody here.
    """
    name = f"health:{os.getpid()}"
    cache.set(name, "ok", timeout=_CACHE_SECONDS)
    if cache.get(name) != "ok":
        raise Unwell(_("what was written to the cache cannot be read back"))
    if shared_store.is_configured() and shared_store.is_away():
        return _("Redis does not answer: limits count per process, and equal calls are shared within one only")
    return None


def check_queue() -> None:
    get_broker().queue_size()


_storage_seen = float("-inf")


def check_storage() -> None:
    """Write, read and delete a small file; not at every probe."""
    global _storage_seen
    if time.monotonic() - _storage_seen < _STORAGE_EVERY_SECONDS:
        return
    storage = storages["artifacts"]
    name = storage.save(f"health/{os.getpid()}", ContentFile(b"ok"))
    try:
        with storage.open(name) as file:
            if file.read() != b"ok":
                raise Unwell(_("a file read back differs from what was written"))
    finally:
        storage.delete(name)
    _storage_seen = time.monotonic()


_secrets_seen = float("-inf")


def check_secrets() -> None:
    """Whether this process holds the keys that stored secrets were encrypted with; not at every probe."""
    global _secrets_seen
    if time.monotonic() - _secrets_seen < _SECRETS_EVERY_SECONDS:
        return
    lost = unreadable_count()
    if lost:
        said = ngettext(
            "%(n)d stored secret cannot be decrypted: put the key that encrypted it back into LLMOPT_ENCRYPTION_KEYS",
            "%(n)d stored secrets cannot be decrypted: put the key that encrypted them back into "
            "LLMOPT_ENCRYPTION_KEYS",
            lost,
        )
        raise Unwell(said % {"n": lost})
    _secrets_seen = time.monotonic()


def check_inference() -> None:
    """The inference process accepts connections and answers. No model has to be loaded."""
    address = urlsplit(settings.INFERENCE_URL)
    link = http.client.HTTPConnection(address.hostname or "127.0.0.1", address.port, timeout=_INFERENCE_SECONDS)
    try:
        link.request("GET", "/healthz")
        status = link.getresponse().status
    except OSError:
        raise Unwell(_("the inference process does not answer; see var/log/inference.log")) from None
    finally:
        link.close()
    if status >= 500:
        raise Unwell(_("the inference process answers %(status)d; see var/log/inference.log") % {"status": status})


def _cluster_check(name: str) -> Callable[[], None]:
    def check() -> None:
        since = seconds_since_answer(name, not_before=float(os.environ.get(STARTED_VARIABLE, "0")))
        if since is not None and since < CLUSTER_SILENT_SECONDS:
            return
        # A cluster whose workers are all inside a task is well, and cannot answer.
        if since is not None and busy.count(Path(settings.VAR_DIR), name) >= worker_count(name):
            return
        raise Unwell(
            _("no task has been answered lately")
            if since is not None
            else _("no task has been answered since the start")
        )

    return check
