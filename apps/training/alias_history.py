"""Where an alias was before: the audit trail is its history."""

from apps.core.models import AuditEvent
from apps.training.models import ModelVersion

SET = "model_version.alias_set"


def version_before(version: ModelVersion, alias: str) -> ModelVersion | None:
    """The version from which this one took the alias; what a rollback gave back is not a taking."""
    taken = AuditEvent.objects.filter(
        team=version.team, verb=SET, object_uid=version.uid, facts__alias=alias, facts__rolled_back=False
    ).order_by("-id")
    event = taken.first()
    uid = event.facts.get("from_uid") if event is not None else None
    found: ModelVersion | None = ModelVersion.objects.filter(team=version.team, uid=uid).first() if uid else None
    return found
