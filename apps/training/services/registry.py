"""From a finished run to a version in the registry, exactly once."""

import json
import shutil
from pathlib import Path
from typing import Any

from django.db import transaction
from django.db.models import Max
from django.utils.translation import gettext as _

from apps.accounts.models import Team
from apps.core import audit, jobs
from apps.core.access import require
from apps.core.artifacts import folder_digest, local_folder, put_folder
from apps.core.errors import ApplicationError, Conflict
from apps.core.faults import fault_point
from apps.core.models import JobStatus
from apps.core.storable import storable_json
from apps.providers.services import language_model_ready
from apps.training.engine.certificate import verify
from apps.training.models import ModelVersion, TrainingRun
from apps.training.services.runs import run_plan

SERVED = "models"


class StoredModelDamaged(ApplicationError):
    """Files were lost or changed between the certificate and the registration. Exported again, they are whole."""

    code = "model_damaged"


def model_version_register(*, actor: Any, run: TrainingRun, result: Path, finished: dict[str, Any]) -> ModelVersion:
    """Store the result folder, freeze the facts on the model, add the version and end the run: all or nothing.

    `finished` is the engine's last event. Called again after a kill it finds the stored folder and goes on; called
    again after it was done it returns the version. Conflict when another attempt holds the run; StoredModelDamaged when
    the stored files are not those that were certified.
    """
    require(run, actor, "edit")
    artifact = put_folder(result, f"{SERVED}/{run.language_model.served_name}")
    fault_point("register")
    # Of what is stored, which an earlier attempt may have put there: digest and certificate are the served files'.
    stored = local_folder(artifact)
    _check_stored(run, stored)
    certificate = storable_json(json.loads((stored / "certificate.json").read_text()))
    digest = folder_digest(stored)
    with transaction.atomic():
        known = ModelVersion.objects.filter(run=run).first()
        if known is not None:
            return known
        ended = jobs.finish(
            run,
            to=JobStatus.SUCCEEDED,
            phase="",
            done=finished["step"],
            total=finished["step"],
            result=finished,
            tokens_per_second=finished.get("trained_tokens_per_second"),
        )
        if not ended:
            raise Conflict(_("Another attempt of this training has taken over."))
        version = _version_create(run, digest=digest, certificate=certificate, lineage=run_lineage(run, finished))
        language_model_ready(
            actor=actor,
            model=run.language_model,
            revision=version.digest[:16],
            artifact=artifact,
            context_length=run.base_model.context_length,
            facts={**version.lineage, "certificate": certificate, "version": version.number},
        )
        audit.record(actor=actor, verb="model_version.registered", target=version, digest=version.digest)
    return version


def _check_stored(run: TrainingRun, stored: Path) -> None:
    """What is registered is served from then on, so it must be what the certificate describes, to the last byte."""
    if ModelVersion.objects.filter(run=run).exists():
        return
    problems = verify(stored)
    if not problems:
        return
    if not jobs.heartbeat(run):
        raise Conflict(_("Another attempt of this training has taken over."))
    # Nothing refers to it yet; left there, it would be taken for the work of the next attempt.
    shutil.rmtree(stored)
    raise StoredModelDamaged(
        _("The stored model is not the one that was certified. %(problems)s") % {"problems": " ".join(problems)}
    )


def _version_create(
    run: TrainingRun, *, digest: str, certificate: dict[str, Any], lineage: dict[str, Any]
) -> ModelVersion:
    """The next version of the team, whose row is locked while it is numbered."""
    Team.objects.select_for_update().get(pk=run.team_id)
    last = ModelVersion.objects.filter(team=run.team).aggregate(last=Max("number"))["last"] or 0
    version: ModelVersion = ModelVersion.objects.create(
        run=run,
        team=run.team,
        language_model=run.language_model,
        number=last + 1,
        digest=digest,
        lineage=lineage,
        certificate=certificate,
    )
    return version


def run_lineage(run: TrainingRun, finished: dict[str, Any]) -> dict[str, Any]:
    """What produced the model: data, split, prompt, configuration, versions, machine, time."""
    return {
        "run": str(run.uid),
        "base_model": run.base_model.name,
        **run_plan(run),
        "split_seed": run.dataset_version.dataset.split_seed,
        "datasets": _datasets(run),
        "device": run.device,
        "seconds": finished.get("train_seconds"),
        "phase_seconds": finished.get("phase_seconds"),
        "files": finished.get("files"),
    }


def _datasets(run: TrainingRun) -> list[dict[str, Any]]:
    """Every dataset version whose rows are in the weights, first trained on first: the base may itself be tuned."""
    made_base = TrainingRun.objects.filter(language_model=run.base_model_id).first()
    version = run.dataset_version
    this = {"dataset": version.content_hash, "split_seed": version.dataset.split_seed}
    return [*(_datasets(made_base) if made_base else []), this]
