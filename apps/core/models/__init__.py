"""Abstract models and the few tables that every app shares."""

from apps.core.models.audit import AuditEvent
from apps.core.models.base import ScopedManager, ScopedModel, ScopedQuerySet, uid_field
from apps.core.models.idempotency import IdempotentAnswer
from apps.core.models.job import Canary, JobModel, JobStatus
from apps.core.models.live import LiveEvent

__all__ = [
    "AuditEvent",
    "Canary",
    "IdempotentAnswer",
    "JobModel",
    "JobStatus",
    "LiveEvent",
    "ScopedManager",
    "ScopedModel",
    "ScopedQuerySet",
    "uid_field",
]
