"""Asking for a model: by download, from a folder of this machine, by upload. The job does the rest."""

import os
import shutil
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.db import transaction
from django.utils.translation import gettext as _

from apps.core import audit, jobs
from apps.core.access import require
from apps.core.artifacts import folder_digest, local_folder
from apps.core.errors import ApplicationError, Conflict
from apps.core.models.base import new_uid
from apps.providers.engine.catalogue import KnownModel, known_model
from apps.providers.models import LanguageModel, ModelFetch
from apps.providers.selectors import upload_path
from apps.providers.services.language_models import (
    language_model_create,
    language_model_failed,
    language_model_planned_again,
)

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")
RESTORED_NOTE = "Restored from 4-bit weights (Q4_1)."
RESTORED_CONTEXT = 2048


def model_download(*, actor: Any, team: Any, key: str) -> ModelFetch:
    """Queue the download of a model of the written list."""
    known = known_model(key)
    if known is None:
        raise ApplicationError(_("There is no model %(key)s in the list.") % {"key": key}, field="key")
    with transaction.atomic():
        require(team, actor, "edit")
        model = language_model_create(
            actor=actor,
            team=team,
            name=known.name,
            kind=LanguageModel.Kind.LOCAL,
            served_name=known.served_name,
            context_length=known.context_length,
            facts=_known_facts(known),
        )
        location = f"{known.repository}@{known.revision}"
        return _fetch(actor, model, source=ModelFetch.Source.HUB, location=location)


def _known_facts(known: KnownModel) -> dict[str, Any]:
    return {
        "parameters": known.parameters,
        "source": {"repository": known.repository, "revision": known.revision, "licence": known.licence},
    }


def model_on_disk_add(*, actor: Any, team: Any, key: str) -> LanguageModel:
    """Make a model of the written list known to a team whose files lie on this machine already."""
    known = known_model(key)
    served = [name for name in (known.also_served if known else ()) if (local_folder(f"models/{name}") / "hf").is_dir()]
    if known is None or not served:
        raise Conflict(_("The files of this model are not on this machine."))
    require(team, actor, "edit")
    digest = folder_digest(local_folder(f"models/{served[0]}") / "hf")
    return language_model_create(
        actor=actor,
        team=team,
        name=f"{known.name} (restored from 4-bit)",
        kind=LanguageModel.Kind.LOCAL,
        served_name=served[0],
        state=LanguageModel.State.READY,
        revision=digest[:16],
        artifact=f"models/{served[0]}",
        context_length=RESTORED_CONTEXT,
        note=RESTORED_NOTE,
        facts={"weights": digest},
    )


def model_folder_add(
    *, actor: Any, team: Any, folder: str, name: str = "", base_model: LanguageModel | None = None
) -> ModelFetch:
    """Queue the import of a folder on this machine. Only an admin names paths, and only where the operator allows."""
    require(team, actor, "manage")
    path = _allowed_folder(folder)
    return _planned(
        actor, team, source=ModelFetch.Source.FOLDER, location=str(path), name=name or path.name, base_model=base_model
    )


def _allowed_folder(folder: str) -> Path:
    """The folder as it really lies; ApplicationError when it is nowhere below what the operator has allowed."""
    allowed = [Path(place).resolve() for place in settings.MODEL_FOLDERS]
    if not allowed:
        raise ApplicationError(
            _("No folder may be named here: the operator has set no LLMOPT_MODEL_FOLDERS."), field="folder"
        )
    path = Path(folder.strip())
    real = path.resolve()
    # Not by what it says: a link, or `..`, could lead anywhere.
    if not path.is_absolute() or not any(real.is_relative_to(place) for place in allowed):
        shown = ", ".join(str(place) for place in allowed)
        raise ApplicationError(
            _("Name a folder below %(folders)s, with its whole path.") % {"folders": shown},
            code="folder_not_allowed",
            field="folder",
        )
    if not real.is_dir():
        raise ApplicationError(_("There is no folder %(folder)s.") % {"folder": path}, field="folder")
    return real


def model_upload_add(
    *, actor: Any, team: Any, file: UploadedFile, name: str = "", base_model: LanguageModel | None = None
) -> ModelFetch:
    """Store what was sent, outside everything that is served, and queue its import."""
    require(team, actor, "edit")
    sent = file.name or ""
    if not sent.lower().endswith(ARCHIVES):
        raise ApplicationError(_("Send the model's folder as one .zip, .tar or .tar.gz file."), field="file")
    if (file.size or 0) > settings.MODEL_UPLOAD_MAX_BYTES:
        megabytes = settings.MODEL_UPLOAD_MAX_BYTES // 10**6
        raise ApplicationError(
            _("A model may be sent with at most %(megabytes)d MB. Give its folder on this machine instead.")
            % {"megabytes": megabytes},
            code="too_large",
            field="file",
        )
    stored = _store(file)
    try:
        return _planned(
            actor,
            team,
            source=ModelFetch.Source.UPLOAD,
            location=stored.name,
            name=name or sent.removesuffix(next(end for end in reversed(ARCHIVES) if sent.lower().endswith(end))),
            base_model=base_model,
        )
    except BaseException:
        stored.unlink(missing_ok=True)
        raise


def _store(file: UploadedFile) -> Path:
    target = upload_path(f"{new_uid()}.sent")
    target.parent.mkdir(parents=True, exist_ok=True)
    waiting = getattr(file, "temporary_file_path", None)
    if waiting is not None:
        shutil.move(waiting(), target)
        target.chmod(0o600)
        return target
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        for chunk in file.chunks():
            out.write(chunk)
    return target


def _planned(
    actor: Any, team: Any, *, source: str, location: str, name: str, base_model: LanguageModel | None
) -> ModelFetch:
    if base_model is not None and (base_model.team_id != team.pk or base_model.state != LanguageModel.State.READY):
        raise ApplicationError(_("The base model must be a ready model of this team."), field="base_model")
    with transaction.atomic():
        model = language_model_create(
            actor=actor,
            team=team,
            name=name[:160],
            kind=LanguageModel.Kind.LOCAL,
            served_name=f"added-{new_uid()}",
            facts={"source": {"from": source}},
        )
        return _fetch(actor, model, source=source, location=location, base_model=base_model)


def _fetch(
    actor: Any, model: LanguageModel, *, source: str, location: str, base_model: LanguageModel | None = None
) -> ModelFetch:
    """The job of a planned model: a new one, or the one that failed before, taken up again."""
    if model.state == LanguageModel.State.READY:
        raise Conflict(_("%(model)s is ready already.") % {"model": model.name})
    fetch, created = ModelFetch.objects.get_or_create(
        language_model=model,
        defaults={
            "team": model.team,
            "source": source,
            "location": location,
            "base_model": base_model,
            "created_by": actor or _owner(model),
        },
    )
    if created:
        audit.record(actor=actor, verb="model_fetch.started", target=fetch, name=model.name, source=str(source))
        jobs.enqueue(fetch)
    elif fetch.status in jobs.STOPPED:
        jobs.job_resume(actor=actor, row=fetch)
    found: ModelFetch = fetch
    return found


def _owner(model: LanguageModel) -> Any:
    """Who stands for a command that nobody has signed in for."""
    owner = model.team.memberships.filter(role="owner").order_by("pk").first()
    if owner is None:
        raise ApplicationError(_("This team has no owner, for whom a model could be added."))
    return owner.user


def model_fetch_taken_up(*, actor: Any, fetch: ModelFetch) -> None:
    """Take back what an earlier end said on the model: it is being brought in again."""
    require(fetch, actor, "edit")
    language_model_planned_again(actor=actor, model=fetch.language_model)


def model_fetch_failed(*, actor: Any, fetch: ModelFetch) -> None:
    """Say on the model, too, why it did not come."""
    require(fetch, actor, "edit")
    language_model_failed(actor=actor, model=fetch.language_model, error=fetch.error)


def model_fetch_cancelled(*, actor: Any, fetch: ModelFetch) -> None:
    """Say on the model, too, that nobody brings it in any more."""
    require(fetch, actor, "edit")
    language_model_failed(actor=actor, model=fetch.language_model, error=_("Adding it was cancelled."))


def model_fetch_refused(*, actor: Any, fetch: ModelFetch, code: str, error: str) -> bool:
    """End the job as failed with the sentence, and keep it in the audit trail. False when the claim was lost."""
    require(fetch, actor, "edit")
    with transaction.atomic():
        ModelFetch.objects.filter(pk=fetch.pk, claim=fetch.claim).update(error_code=code)
        ended = jobs.fail(fetch, error=error, kept=_kept(fetch, code), next_step=_next_step(code))
        if ended:
            audit.record(actor=actor, verb="model_fetch.refused", target=fetch, code=code, error=error)
            model_fetch_failed(actor=actor, fetch=fetch)
    return ended


def _kept(fetch: ModelFetch, code: str) -> str:
    if code == "hostile":
        return _("Nothing of it was opened or kept.")
    if fetch.source == ModelFetch.Source.HUB and code != "not_a_model":
        return _("What was downloaded before is kept.")
    return _("Nothing was changed.")


def _next_step(code: str) -> str:
    if code == "hub_unreachable":
        return _("Press Retry when this machine is connected, or add the model from a folder.")
    if code == "broken_off":
        return _("Press Retry: it goes on where it ended.")
    if code == "died":
        return _("Press Retry. If it ends again, the log of this machine says more.")
    if code == "hub_refused":
        return _("Press Retry later, or add the model from a folder.")
    if code == "disk_full":
        return _("Make room on the disk of this machine, then press Retry.")
    if code == "no_base":
        return _("Add the base model first, or choose it, and add the adapter again.")
    return _("Mend the files and add them again.")
