"""Claiming, heartbeat, end and recovery of job rows. Every status change is a compare-and-set against one table."""

import logging
import os
import secrets
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django_q.tasks import async_task

from apps.core import audit, live
from apps.core.access import require
from apps.core.errors import Conflict
from apps.core.models import JobModel, JobStatus
from apps.core.pace import UNKNOWN

log = logging.getLogger(__name__)

TRANSITIONS: dict[str, frozenset[str]] = {
    JobStatus.PLANNED: frozenset({JobStatus.QUEUED, JobStatus.CANCELLED}),
    JobStatus.QUEUED: frozenset({JobStatus.RUNNING, JobStatus.PAUSED, JobStatus.CANCELLED, JobStatus.FAILED}),
    JobStatus.RUNNING: frozenset(
        {JobStatus.QUEUED, JobStatus.PAUSED, JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED}
    ),
    JobStatus.PAUSED: frozenset({JobStatus.QUEUED, JobStatus.CANCELLED}),
    JobStatus.FAILED: frozenset({JobStatus.QUEUED}),
    JobStatus.CANCELLED: frozenset({JobStatus.QUEUED}),
    JobStatus.SUCCEEDED: frozenset(),
}
ENDED = frozenset({JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED})
AT_WORK = frozenset({JobStatus.QUEUED, JobStatus.RUNNING})
STOPPED = frozenset({JobStatus.PAUSED, JobStatus.FAILED, JobStatus.CANCELLED})


@dataclass(frozen=True)
class JobKind:
    """How one job model is run: its task by dotted name, and how many attempts a row gets before it fails."""

    model: str
    task: str
    max_attempts: int = 5
    # Called before a dead row is queued again; returns False while the old process still has to be waited for.
    may_resume: Callable[[Any], bool] | None = None
    # Called in the transaction in which the reaper fails a row, for what else that means.
    after_failure: Callable[[Any], None] | None = None
    # Called in the transaction in which a row ends as cancelled, whoever ended it.
    after_cancel: Callable[[Any], None] | None = None
    # What the phases of such a job are called, by the names that its process writes.
    phases: Callable[[], Mapping[str, str | Promise]] = dict
    # How many bytes one of `done` and `total` stands for; 0 where it is things that are counted.
    unit_bytes: int = 0

    @property
    def model_class(self) -> Any:
        return apps.get_model(self.model)


_KINDS: dict[str, JobKind] = {}


def register(kind: JobKind) -> None:
    _KINDS[kind.model.lower()] = kind


def kinds() -> list[JobKind]:
    return list(_KINDS.values())


def kind_of(row: JobModel) -> JobKind:
    return _KINDS[row._meta.label_lower]


def phase_text(kind: str, phase: str) -> str:
    """A phase of a kind of job (its model, as in `training.TrainingRun`) in words; an unknown one as it is written."""
    known = _KINDS.get(kind.lower())
    return str(known.phases().get(phase, phase)) if known is not None else phase


def transition(
    row: JobModel,
    *,
    to: str,
    allowed_from: tuple[str, ...] | None = None,
    held_by: str | None = None,
    unheard_since: datetime | None = None,
    **fields: Any,
) -> bool:
    """Compare-and-set of `row.status`, with other fields to set.

    False when the row has moved on; when it was to be paused and somebody has cancelled it; with `held_by`, when its
    claim is another process's; with `unheard_since`, when its process has been heard after that.
    """
    sources = [source for source in TRANSITIONS if to in TRANSITIONS[source]]
    if allowed_from is not None:
        sources = [source for source in sources if source in allowed_from]
    rows = type(row)._default_manager.filter(pk=row.pk, status__in=sources)
    if to == JobStatus.PAUSED:
        rows = rows.filter(cancel_requested=False)
    if held_by is not None:
        rows = rows.filter(claim=held_by)
    if unheard_since is not None:
        rows = rows.filter(Q(heartbeat_at__lte=unheard_since) | Q(heartbeat_at__isnull=True))
    # With what open pages are told: a job that has ended must not look as if ending it had failed.
    with transaction.atomic():
        changed = bool(rows.update(status=to, **fields))
        if changed:
            row.refresh_from_db()
            live.publish(row, "status")
            after_cancel = kind_of(row).after_cancel if to == JobStatus.CANCELLED else None
            if after_cancel is not None:
                after_cancel(row)
    return changed


def enqueue(row: JobModel, **fields: Any) -> bool:
    """Queue `row` for its worker, with other fields to set; the id travels when the transaction commits."""
    with transaction.atomic():
        if not transition(
            row,
            to=JobStatus.QUEUED,
            allowed_from=(JobStatus.PLANNED, JobStatus.PAUSED, JobStatus.FAILED, JobStatus.CANCELLED),
            queued_at=timezone.now(),
            claim="",
            finished_at=None,
            error="",
            error_kept="",
            error_next="",
            **fields,
        ):
            return False
        _send(row)
    return True


def _send(row: JobModel) -> None:
    task, pk = kind_of(row).task, row.pk
    transaction.on_commit(lambda: async_task(task, pk, cluster="worker"))


def claim(model: type[Any], pk: int) -> Any | None:
    """Take a queued row for this process, or None: another delivery has it, or it was cancelled meanwhile."""
    token = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
    now = timezone.now()
    taken = model._default_manager.filter(pk=pk, status=JobStatus.QUEUED).update(
        status=JobStatus.RUNNING, claim=token, heartbeat_at=now, attempt=F("attempt") + 1
    )
    if not taken:
        return None
    mine = model._default_manager.filter(pk=pk, claim=token)
    mine.filter(started_at__isnull=True).update(started_at=now)
    # None again if this process slept so long that the reaper has given the row away meanwhile.
    return mine.first()


def heartbeat(row: JobModel, **fields: Any) -> bool:
    """Say that this process still works on `row`, with its progress. False when the claim is lost: stop at once."""
    return bool(
        type(row)
        ._default_manager.filter(pk=row.pk, claim=row.claim, status=JobStatus.RUNNING)
        .update(heartbeat_at=timezone.now(), **fields)
    )


def hand_on(row: JobModel, *, progressed: bool = True) -> bool:
    """End of a slice: release the claim and queue the continuation.

    A slice that `progressed` is no failed attempt; one that did not is counted, so that work that never gets anywhere
    can be ended.
    """
    with transaction.atomic():
        done = give_back(row, **({"attempt": 0} if progressed else {}))
        if done:
            _send(row)
    return done


def give_back(row: JobModel, **fields: Any) -> bool:
    """Release the claim without sending the row again: the reaper does that after a while."""
    return transition(
        row,
        to=JobStatus.QUEUED,
        allowed_from=(JobStatus.RUNNING,),
        held_by=row.claim,
        claim="",
        queued_at=timezone.now(),
        **fields,
    )


def finish(row: JobModel, *, to: str = JobStatus.SUCCEEDED, **fields: Any) -> bool:
    """End `row`, if this process still holds it. A pause that became a cancel while the job saved ends as cancelled."""

    def end(to: str) -> bool:
        return transition(
            row,
            to=to,
            allowed_from=(JobStatus.RUNNING,),
            held_by=row.claim,
            finished_at=timezone.now(),
            **UNKNOWN,
            **fields,
        )

    return end(to) or (to == JobStatus.PAUSED and end(JobStatus.CANCELLED))


def fail(row: JobModel, *, error: str, kept: str, next_step: str) -> bool:
    """End `row` as failed, with what failed, what was kept and what to press."""
    return finish(row, to=JobStatus.FAILED, error=error, error_kept=kept, error_next=next_step)


def _lock(row: JobModel) -> None:
    """Decide by what is stored now, not by what the caller read a while ago; nobody changes it until the end."""
    row.refresh_from_db(from_queryset=type(row)._default_manager.select_for_update())


def job_cancel(*, actor: Any, row: JobModel) -> None:
    """Stop a job and what it has started. A waiting one ends at once, a running one at its next step."""
    with transaction.atomic():
        require(row, actor, "edit")
        _lock(row)
        if row.status in ENDED:
            raise Conflict(_("This job has already ended."))
        audit.record(actor=actor, verb=f"{row._meta.model_name}.cancelled", target=row)
        type(row)._default_manager.filter(pk=row.pk).update(cancel_requested=True)
        # One that waits for its next slice while a part of it works ends in that slice, after the part.
        waiting = (JobStatus.QUEUED,) if parts_stop(actor=actor, row=row, cancel=True) else ()
        at_once = (JobStatus.PLANNED, JobStatus.PAUSED, *waiting)
        transition(row, to=JobStatus.CANCELLED, allowed_from=at_once, finished_at=timezone.now(), **UNKNOWN)
        live.publish(row, "status")


def job_pause(*, actor: Any, row: JobModel) -> None:
    """Ask a job and what it has started to save and stop, so that they can go on later."""
    with transaction.atomic():
        require(row, actor, "edit")
        _lock(row)
        if row.status not in AT_WORK:
            raise Conflict(_("Only a waiting or running job can be paused."))
        audit.record(actor=actor, verb=f"{row._meta.model_name}.paused", target=row)
        type(row)._default_manager.filter(pk=row.pk).update(pause_requested=True)
        if parts_stop(actor=actor, row=row, cancel=False):
            stopped_at = timezone.now()
            transition(row, to=JobStatus.PAUSED, allowed_from=(JobStatus.QUEUED,), finished_at=stopped_at, **UNKNOWN)
        live.publish(row, "status")


def job_resume(*, actor: Any, row: JobModel) -> None:
    """Queue a paused, failed or cancelled job again, and what it had started. They go on from what was kept."""
    with transaction.atomic():
        require(row, actor, "edit")
        if row.status not in STOPPED:
            raise Conflict(_("Only a paused, failed or cancelled job can go on."))
        if row.ended_for_good:
            raise Conflict(
                _("This job has ended for good: trying again would end the same way. %(next)s")
                % {"next": row.error_next}
            )
        # In one step with the status: a second press must not take the attempt from the process that already works.
        if not enqueue(row, cancel_requested=False, pause_requested=False, attempt=0):
            raise Conflict(_("This job goes on already."))
        audit.record(actor=actor, verb=f"{row._meta.model_name}.resumed", target=row)
        _parts_resume(actor=actor, row=row)


def parts_stop(*, actor: Any, row: JobModel, cancel: bool) -> bool:
    """Cancel or pause what a job has started. True when none of it is at work any more."""
    press = job_cancel if cancel else job_pause
    with transaction.atomic():
        for part in row.parts():
            _lock(part)
            asked = part.cancel_requested or (part.pause_requested and not cancel)
            if (part.status in AT_WORK and not asked) or (part.status == JobStatus.PAUSED and cancel):
                press(actor=actor, row=part)
        return not any(part.status in AT_WORK for part in row.parts())


def _parts_resume(*, actor: Any, row: JobModel) -> None:
    """Queue again what a job had started. Conflict while a process still follows the wish to stop."""
    for part in row.parts():
        _lock(part)
        if part.status in STOPPED:
            job_resume(actor=actor, row=part)
        elif part.cancel_requested or part.pause_requested:
            if part.status == JobStatus.RUNNING:
                raise Conflict(_("%(job)s is still stopping. Try again in a moment.") % {"job": part})
            type(part)._default_manager.filter(pk=part.pk).update(cancel_requested=False, pause_requested=False)


def reap(now: datetime | None = None) -> int:
    """Recover rows whose process died and rows whose message was lost. Returns how many were touched.

    A row that cannot be recovered holds up no other; its error is raised when all have had their turn.
    """
    now = now or timezone.now()
    touched, errors = 0, []
    for kind in kinds():
        for row, recover in _to_recover(kind, now):
            try:
                touched += recover(kind, row)
            except Exception as error:
                error.add_note(f"while {row._meta.label_lower} {row.uid} was to be recovered")
                errors.append(error)
    if errors:
        raise ExceptionGroup("jobs could not be recovered", errors)
    return touched


def _to_recover(kind: JobKind, now: datetime) -> Iterator[tuple[Any, Callable[[JobKind, Any], bool]]]:
    dead_before = now - timedelta(seconds=settings.JOB_DEAD_AFTER_SECONDS)
    lost_before = now - timedelta(seconds=settings.JOB_REQUEUE_AFTER_SECONDS)
    rows = kind.model_class._default_manager
    for row in rows.filter(status=JobStatus.RUNNING).filter(
        Q(heartbeat_at__lt=dead_before) | Q(heartbeat_at__isnull=True)
    ):
        yield row, _recover
    # A time that lies ahead was written before the clock was set back. A message too many loses the claim, and no more.
    lost = Q(queued_at__lt=lost_before) | Q(queued_at__gt=now + (now - lost_before))
    for row in rows.filter(lost, status=JobStatus.QUEUED):
        yield row, _send_again


def _send_again(kind: JobKind, row: JobModel) -> bool:
    waiting = kind.model_class._default_manager.filter(pk=row.pk, status=JobStatus.QUEUED, queued_at=row.queued_at)
    with transaction.atomic():
        if not waiting.update(queued_at=timezone.now()):
            return False
        _send(row)
    return True


def _recover(kind: JobKind, row: JobModel) -> bool:
    if kind.may_resume is not None and not kind.may_resume(row):
        return False
    log.warning(
        "job process is gone", extra={"job": row._meta.label_lower, "uid": str(row.uid), "attempt": row.attempt}
    )
    if row.attempt >= kind.max_attempts:
        return _give_up(kind, row)
    with transaction.atomic():
        # The old claim is part of the condition, so that a process that comes back to life has lost it.
        queued = transition(
            row,
            to=JobStatus.QUEUED,
            allowed_from=(JobStatus.RUNNING,),
            held_by=row.claim,
            unheard_since=row.heartbeat_at,
            claim="",
            queued_at=timezone.now(),
        )
        if queued:
            _send(row)
    return queued


def _give_up(kind: JobKind, row: JobModel) -> bool:
    with transaction.atomic():
        failed = finish(
            row,
            to=JobStatus.FAILED,
            unheard_since=row.heartbeat_at,
            error=_("The process that ran this job died %(count)d times.") % {"count": row.attempt},
            error_kept=_("Everything finished before that is kept."),
            error_next=_("Look at the log, then press Retry."),
        )
        if failed and kind.after_failure is not None:
            kind.after_failure(row)
    return failed
