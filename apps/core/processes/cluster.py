"""One queue cluster of django-q whose processes all die with it."""

import logging
import multiprocessing
import multiprocessing.context
import multiprocessing.sharedctypes
import os
from pathlib import Path
from types import FrameType
from typing import Any

from django.conf import settings

from apps.core.processes import busy, stopping
from apps.core.processes.parent import die_with_parent

log = logging.getLogger(__name__)

# The guard adds three seconds to a task's own limit before it kills the worker.
_GUARD_SECONDS = 5.0
# Held for microseconds by a worker, and for the time of a fork by the guard.
_LOCK_SECONDS = 5.0
# Exit status of a cluster that ends itself because one of its queues may be stuck (EX_SOFTWARE of sysexits.h).
STUCK = 70


def cluster_names() -> list[str]:
    """Every queue that the settings name. A cluster with any other name would wait for ever, silently."""
    return [settings.Q_CLUSTER["name"], *settings.Q_CLUSTER.get("ALT_CLUSTERS", {})]


def worker_count(name: str) -> int:
    configured = settings.Q_CLUSTER if name == settings.Q_CLUSTER["name"] else settings.Q_CLUSTER["ALT_CLUSTERS"][name]
    return int(configured["workers"])


class TiedProcess(multiprocessing.context.ForkProcess):
    """A fork that is killed with the process that forked it."""

    def run(self) -> None:
        die_with_parent(self._parent_pid)  # type: ignore[attr-defined]  # multiprocessing records who forked
        super().run()


class _TiedContext:
    Process = TiedProcess


class WorkerTimer:
    """Seconds that a worker's task has left, shared with the guard: in place of multiprocessing's `Value`.

    A worker that is killed while it holds the lock keeps it for ever. The guard would wait for ever, and nobody would
    replace workers, end overdue tasks or start schedules, while the other workers still answer. So the wait is bounded.
    """

    def __init__(self, typecode: str, initial: float) -> None:
        self._number = multiprocessing.sharedctypes.RawValue(typecode, initial)
        self._lock = BoundedLock()

    def get_lock(self) -> "BoundedLock":
        return self._lock

    @property
    def value(self) -> float:
        return float(self._number.value)

    @value.setter
    def value(self, seconds: float) -> None:
        with self._lock:
            self._number.value = seconds


class BoundedLock:
    """A lock between processes that ends this process, and with it the cluster, when nobody lets go of it."""

    def __init__(self, seconds: float = _LOCK_SECONDS) -> None:
        self._lock = multiprocessing.RLock()
        self._seconds = seconds

    def __enter__(self) -> None:
        if not self._lock.acquire(timeout=self._seconds):
            log.critical("a worker died with its timer's lock; restarting the cluster")
            os._exit(STUCK)

    def __exit__(self, *error: object) -> None:
        self._lock.release()


def run_cluster(name: str) -> int:
    """Run the cluster in this process until it is told to stop. Returns the exit status."""
    import django_q.cluster

    if name not in cluster_names():
        raise ValueError(f"{name} is not one of the queues: {', '.join(cluster_names())}")
    var_dir = Path(settings.VAR_DIR)
    busy.clear(var_dir, name)
    release_messages(name)
    _adapt(django_q.cluster)
    _mark_tasks(var_dir, name)
    cluster = _cluster_class(django_q.cluster)()
    cluster.start()
    cluster.sentinel.join()
    # After a stop, the master process is still inside its own signal handler's join; both see the same exit status.
    return int(cluster.sentinel.exitcode or 0)


def release_messages(name: str) -> int:
    """Give back what an earlier cluster of this name had fetched and not done when it was killed; returns how many.

    Each would wait until the queue's `retry` is over, half an hour. Only where one machine has one cluster of a name:
    elsewhere they may be another's that lives.
    """
    from django.db import connections
    from django.utils import timezone
    from django_q.models import OrmQ

    if not settings.EMBEDDED:
        return 0
    now = timezone.now()
    released: int = OrmQ.objects.filter(key=name, lock__gt=now).update(lock=now)
    # The processes that are forked from this one must not share its connection.
    connections.close_all()
    if released:
        log.warning("messages of a cluster that died are taken up again", extra={"count": released})
    return released


def _cluster_class(module: Any) -> Any:
    class StoppableCluster(module.Cluster):
        """Tells running tasks that a stop was asked for, which django-q does not."""

        def sig_handler(self, signum: int, frame: FrameType | None) -> None:
            stopping.request()
            super().sig_handler(signum, frame)

    return StoppableCluster


def _adapt(module: Any) -> None:
    """Put our processes and our reaction to a dead worker in the places where django-q looks for its own."""
    import django_q.conf
    import django_q.monitor
    import django_q.pusher
    import django_q.worker

    module.get_mp_context = lambda: _TiedContext
    module.Value = WorkerTimer
    # A process title is written over the environment in /proc, by which leftovers and memory are found.
    for user in (module, django_q.conf, django_q.monitor, django_q.pusher, django_q.worker):
        user.setproctitle = None
    original = module.Sentinel.reincarnate

    def reincarnate(sentinel: Any, process: Any) -> None:
        if may_have_held_the_queue(sentinel, process):
            log.critical("a process of the cluster died where it may hold a queue's lock; restarting the cluster")
            # The forks are killed with this process, supervisor starts all of them again, and claims make it harmless.
            os._exit(STUCK)
        original(sentinel, process)

    module.Sentinel.reincarnate = reincarnate


def may_have_held_the_queue(sentinel: Any, process: Any) -> bool:
    """An idle worker that was killed may leave the lock of the task queue taken for ever; so may monitor and pusher.

    A worker killed inside a task holds no lock, and is replaced alone.
    """
    if process.exitcode is None or process.exitcode >= 0:
        return False
    if process in (sentinel.monitor, sentinel.pusher):
        return True
    return not process.timer.value > 0


def _mark_tasks(var_dir: Path, name: str) -> None:
    """Let each worker say when it is inside a task, in a place where the watchdog sees it."""
    from django_q.signals import post_execute_in_worker, pre_execute

    default_limit = settings.Q_CLUSTER["timeout"]

    def began(task: dict[str, Any], **_: Any) -> None:
        busy.mark(var_dir, name, seconds=float(task.get("timeout") or default_limit) + _GUARD_SECONDS)

    def ended(**_: Any) -> None:
        busy.unmark(var_dir, name)

    pre_execute.connect(began, weak=False, dispatch_uid="llmopt-busy")
    post_execute_in_worker.connect(ended, weak=False, dispatch_uid="llmopt-busy")
