"""Planning an evaluation, and ending one."""

import random
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from apps.billing.services import prices_ensure_local
from apps.core import audit, jobs, live
from apps.core.access import require
from apps.core.errors import Conflict
from apps.core.models import JobStatus
from apps.evaluation.models import Evaluation, TestLook
from apps.experiments import rows
from apps.experiments.models import Candidate, DatasetVersion, Experiment
from apps.providers.models import LanguageModel


def final_evaluation_create(*, actor: Any, candidate: Candidate, order_seed: int) -> Evaluation:
    """Plan the one final test of a frozen candidate, and record the look at the test rows that it is."""
    experiment = candidate.experiment
    if experiment.state != Experiment.State.REGISTERED or candidate.frozen_at is None:
        raise Conflict(_("The final test needs a registered experiment whose candidates are frozen."))
    ids = _visiting_order(rows.test_ids(experiment.dataset_version), order_seed)
    with transaction.atomic():
        evaluation = _evaluation_create(
            actor=actor, candidate=candidate, split="test", purpose=Evaluation.Purpose.FINAL, ids=ids, seed=order_seed
        )
        TestLook.objects.get_or_create(
            evaluation=evaluation,
            defaults={
                "dataset_version": experiment.dataset_version,
                "experiment": experiment,
                "actor": actor,
                "decision": f"final test of {candidate.name}, registered as {experiment.registration_hash[:12]}",
            },
        )
    return evaluation


def choice_evaluation_create(*, actor: Any, candidate: Candidate, order_seed: int, limit: int) -> Evaluation:
    """Plan the evaluation of a candidate on a fixed sample of validation: the first `limit` ids of the seeded order."""
    ids = [row.id for row in rows.validation_rows(candidate.experiment.dataset_version)]
    return _evaluation_create(
        actor=actor,
        candidate=candidate,
        split="validation",
        purpose=Evaluation.Purpose.CHOICE,
        ids=_visiting_order(ids, order_seed)[:limit],
        seed=order_seed,
    )


def _evaluation_create(
    *, actor: Any, candidate: Candidate, split: str, purpose: str, ids: list[str], seed: int
) -> Evaluation:
    with transaction.atomic():
        require(candidate.experiment, actor, "edit")
        evaluation, created = Evaluation.objects.get_or_create(
            candidate=candidate,
            split=split,
            purpose=purpose,
            defaults={
                "experiment": candidate.experiment,
                "example_ids": ids,
                "order_seed": seed,
                "total": len(ids),
            },
        )
        if created:
            audit.record(actor=actor, verb="evaluation.created", target=evaluation, split=split, examples=len(ids))
    return evaluation


def _visiting_order(ids: list[str], seed: int) -> list[str]:
    """A seeded permutation of the sorted ids: the same for every candidate, independent of the file's order."""
    order = sorted(ids)
    random.Random(seed).shuffle(order)  # noqa: S311 - an order, not a secret
    return order


def evaluation_start(*, actor: Any, evaluation: Evaluation) -> bool:
    """Queue a planned evaluation. False when it was queued before."""
    require(evaluation, actor, "edit")
    if evaluation.status != JobStatus.PLANNED:
        return False
    model = evaluation.candidate.language_model
    if model.state != LanguageModel.State.READY:
        raise Conflict(_("%(model)s is not ready, so it cannot be evaluated.") % {"model": model.name})
    if evaluation.split == "test":
        _check_unseen(evaluation.experiment, model)
    with transaction.atomic():
        # The team's machine costs what it is assumed to, until somebody sets another price.
        prices_ensure_local(actor=None, team=evaluation.experiment.team)
        queued = jobs.enqueue(evaluation)
        if queued:
            evaluation.started_by = actor
            evaluation.save(update_fields=["started_by"])
            audit.record(actor=actor, verb="evaluation.started", target=evaluation)
            live.publish(evaluation.experiment, "candidates")
    return queued


def _check_unseen(experiment: Experiment, model: LanguageModel) -> None:
    """A model fitted on another dataset, itself or as the model it was tuned from, may have seen test rows of here."""
    hashes = [model.facts.get("dataset", ""), *(each["dataset"] for each in model.facts.get("datasets", []))]
    for version in DatasetVersion.objects.filter(dataset__team=experiment.team_id, content_hash__in=hashes):
        seen = rows.test_inputs_seen(experiment.dataset_version, fitted_on=version)
        if seen:
            raise Conflict(
                _(
                    "%(model)s was fitted on %(count)d of these test rows, which it saw in %(dataset)s, so its score"
                    " here would mean nothing."
                )
                % {"model": model.name, "count": seen, "dataset": version}
            )
