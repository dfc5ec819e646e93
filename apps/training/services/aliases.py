"""Names that move between the versions of one task: `production` is what is used today, `staging` what may follow."""

import re
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from apps.accounts.models import Team
from apps.billing.generating import forget_models
from apps.core import audit, live
from apps.core.access import require
from apps.core.errors import ApplicationError, Conflict
from apps.training.alias_history import version_before
from apps.training.models import ModelVersion

SUGGESTED = ("production", "staging")
_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")


def model_alias_set(*, actor: Any, version: ModelVersion, alias: str) -> None:
    """Let an alias name this version; another version of the same task that had it loses it."""
    alias = alias.strip().lower()
    if not _NAME.fullmatch(alias):
        raise ApplicationError(
            _("An alias begins with a letter and has only small letters, digits and hyphens, at most 40."),
            field="alias",
        )
    with transaction.atomic():
        require(version, actor, "edit")
        _move(actor, version, alias, rolled_back=False)


def model_alias_remove(*, actor: Any, version: ModelVersion, alias: str) -> None:
    """Take an alias off its version. Nothing then has that name."""
    with transaction.atomic():
        require(version, actor, "edit")
        _lock(version)
        if alias not in version.aliases:
            raise Conflict(_("This version no longer has the alias %(alias)s.") % {"alias": alias})
        _write(version, [name for name in version.aliases if name != alias])
        audit.record(actor=actor, verb="model_version.alias_removed", target=version, alias=alias)


def model_alias_roll_back(*, actor: Any, version: ModelVersion, alias: str) -> ModelVersion:
    """Give an alias back to the version that had it before this one. Returns that version."""
    with transaction.atomic():
        require(version, actor, "edit")
        _lock(version)
        if alias not in version.aliases:
            raise Conflict(_("This version no longer has the alias %(alias)s.") % {"alias": alias})
        before = version_before(version, alias)
        if before is None:
            raise Conflict(_("No version before this one had the alias %(alias)s.") % {"alias": alias})
        _move(actor, before, alias, rolled_back=True)
    return before


def _move(actor: Any, version: ModelVersion, alias: str, *, rolled_back: bool) -> None:
    _lock(version)
    if alias in version.aliases:
        return
    holder = next((other for other in _of_the_task(version) if alias in other.aliases), None)
    if holder is not None:
        _write(holder, [name for name in holder.aliases if name != alias])
    _write(version, sorted([*version.aliases, alias]))
    audit.record(
        actor=actor,
        verb="model_version.alias_set",
        target=version,
        alias=alias,
        to=version.number,
        before=holder.number if holder else None,
        from_uid=str(holder.uid) if holder else None,
        rolled_back=rolled_back,
    )


def _lock(version: ModelVersion) -> None:
    """One mover at a time in a team; what was read before it may have moved meanwhile."""
    Team.objects.select_for_update().get(pk=version.team_id)
    version.refresh_from_db(fields=["aliases"])


def _of_the_task(version: ModelVersion) -> list[ModelVersion]:
    """Versions that were trained on the same dataset: among them an alias names one."""
    dataset = version.run.dataset_version.dataset_id
    same = ModelVersion.objects.filter(team=version.team, run__dataset_version__dataset=dataset)
    return list(same.exclude(pk=version.pk))


def _write(version: ModelVersion, aliases: list[str]) -> None:
    version.aliases = aliases
    version.save(update_fields=["aliases"])
    live.publish(version.language_model, "status")
    # Calls by this name go elsewhere from now on; other processes see it within seconds.
    transaction.on_commit(forget_models)
