"""Asking what a run would take, and starting exactly the run that was measured."""

from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from apps.accounts.models import Team
from apps.core import audit, jobs
from apps.core.access import require
from apps.core.errors import ApplicationError, Conflict
from apps.core.models import JobStatus
from apps.training.datacheck import preflight_of, refusal_text, refusals_in
from apps.training.models import Preflight, TrainingRun
from apps.training.plan import Planned, plan_of
from apps.training.services.plans import plan_check
from apps.training.services.runs import training_run_create, training_run_start


def preflight_request(*, actor: Any, team: Team, plan: Planned, again: bool = False) -> Preflight:
    """The preflight of exactly this plan: the one that was measured, or a new one that is queued.

    `again` measures anew, as on a machine that has changed.
    """
    plan_check(actor=actor, team=team, plan=plan)
    with transaction.atomic():
        Team.objects.select_for_update().get(pk=team.pk)  # one question makes one job, however often it is asked
        known = preflight_of(team.pk, plan)
        if known is not None and known.status in jobs.STOPPED:
            jobs.job_resume(actor=actor, row=known)
            return known
        if known is not None and not (again and known.status == JobStatus.SUCCEEDED):
            return known
        preflight: Preflight = Preflight.objects.create(
            team=team,
            base_model=plan.base_model,
            dataset_version=plan.dataset_version,
            prompt_version=plan.prompt_version,
            spec=plan.spec,
            limits=dict(plan.limits),
            digest=plan.digest,
            created_by=actor,
        )
        audit.record(actor=actor, verb="preflight.started", target=preflight)
        jobs.enqueue(preflight)
    return preflight


def preflight_accept(*, actor: Any, preflight: Preflight, name: str) -> TrainingRun:
    """Plan and start exactly what was measured. Conflict while it is not measured, ApplicationError when refused."""
    require(preflight, actor, "edit")
    if preflight.status != JobStatus.SUCCEEDED:
        raise Conflict(_("The check of this run has not finished yet."))
    refused = refusals_in(preflight)
    if refused:
        raise ApplicationError(refusal_text(refused[0]), code="training_refused")
    plan = plan_of(preflight)
    limits = dict(plan.limits)
    if "max_seconds" in limits:
        # What fits into the time was found by measuring; the run then trains on that many, however fast it is.
        limits["max_examples"] = preflight.result["examples"]
    with transaction.atomic():
        run = training_run_create(
            actor=actor,
            team=preflight.team,
            name=name.strip() or str(preflight),
            base_model=plan.base_model,
            dataset_version=plan.dataset_version,
            prompt_version=plan.prompt_version,
            spec=plan.spec,
            limits=limits,
            preflight=preflight,
        )
        training_run_start(actor=actor, run=run)
    return run


def plan_start(*, actor: Any, team: Team, plan: Planned, name: str) -> TrainingRun:
    """Plan and start a run without measuring it first: its rows are checked all the same. All or nothing."""
    if "max_seconds" in plan.limits:
        raise ApplicationError(
            _("How many examples fit into a time is measured: check the run first, then start it."),
            code="preflight_needed",
            field="max_seconds",
        )
    with transaction.atomic():
        run = training_run_create(
            actor=actor,
            team=team,
            name=name.strip() or f"{plan.base_model.name}: {plan.dataset_version}"[:160],
            base_model=plan.base_model,
            dataset_version=plan.dataset_version,
            prompt_version=plan.prompt_version,
            spec=plan.spec,
            limits=dict(plan.limits),
        )
        training_run_start(actor=actor, run=run)
    return run
