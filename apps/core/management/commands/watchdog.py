"""Watch the queue clusters and the memory of an embedded installation."""

import logging
import os
import time
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser
from django.db import Error as DatabaseError
from django.db import close_old_connections
from django.utils.translation import gettext_noop

from apps.core import monitoring
from apps.core.management.base import TranslatedCommand
from apps.core.processes import busy, rpc
from apps.core.processes.cluster import cluster_names, worker_count
from apps.core.processes.supervisor import SOCKET_VARIABLE, places, read_state
from apps.core.processes.tree import RUN_VARIABLE
from apps.core.processes.watchdog import ASK_SECONDS, STUCK_SECONDS, ClusterWatch

log = logging.getLogger(__name__)

ROUND_SECONDS = 2.0
# Reading the memory of a process of gigabytes takes tens of milliseconds and holds up its page faults: at most this
# share of the time is spent on it, but a sample is never older than MOST_SAMPLE_SECONDS.
SAMPLE_SHARE = 0.01
MOST_SAMPLE_SECONDS = 10.0


class Command(TranslatedCommand):
    help = gettext_noop(
        "Ask each queue cluster a question, restart the ones that stay silent, and record the peak of memory."
    )
    requires_system_checks: list[str] = []  # noqa: RUF012  # Django's own declaration; checks would import every page

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--ask-seconds", type=float, default=float(os.environ.get("LLMOPT_CANARY_SECONDS", ASK_SECONDS))
        )
        parser.add_argument(
            "--stuck-seconds", type=float, default=float(os.environ.get("LLMOPT_STUCK_SECONDS", STUCK_SECONDS))
        )

    def handle(self, *args: Any, ask_seconds: float, stuck_seconds: float, **options: Any) -> None:
        watches = [ClusterWatch(name, worker_count(name), ask_seconds, stuck_seconds) for name in cluster_names()]
        sampler, sample_at = _sampler(), 0.0
        while True:
            started = time.monotonic()
            if sampler is not None and started >= sample_at:
                monitoring.record_peak(places().peak, sampler.run_id, sampler.sample())
                sample_at = started + sample_pause(time.monotonic() - started)
            close_old_connections()
            look_at_clusters(watches)
            time.sleep(max(0.0, ROUND_SECONDS - (time.monotonic() - started)))


def sample_pause(cost_seconds: float) -> float:
    """Seconds until the next look at memory, after one that took `cost_seconds`."""
    return min(MOST_SAMPLE_SECONDS, max(ROUND_SECONDS, cost_seconds / SAMPLE_SHARE))


def look_at_clusters(watches: list[ClusterWatch]) -> None:
    """Ask, and restart what is stuck. A database that is away for a moment is no reason to restart a cluster."""
    now = time.monotonic()
    for watch in watches:
        try:
            stuck = watch.look(now=now, busy=busy.count(Path(settings.VAR_DIR), watch.name))
        except DatabaseError:
            log.exception("the queue could not be asked", extra={"cluster": watch.name})
            continue
        if stuck:
            log.critical("cluster does not answer and is restarted", extra={"cluster": watch.name})
            restart(watch.name)
            watch.ask(now)


def restart(cluster: str) -> None:
    """A stuck cluster would not end by itself either: it is killed, and supervisord starts it again."""
    try:
        rpc.kill_program(Path(os.environ[SOCKET_VARIABLE]), cluster)
    except Exception:
        log.exception("the cluster could not be restarted", extra={"cluster": cluster})


def _sampler() -> monitoring.MemorySampler | None:
    run_id, state = os.environ.get(RUN_VARIABLE), read_state()
    if run_id is None:
        return None
    return monitoring.MemorySampler(run_id, also=(state.pid,) if state else ())
