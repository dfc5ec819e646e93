"""Answers that a caller may ask for again."""

from django.conf import settings
from django.db import models


class IdempotentAnswer(models.Model):
    """What a write with an `Idempotency-Key` answered. It belongs to the caller, and is kept for a day."""

    actor = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    # The header `LLMOpt-Team` as it was sent, or the slug of the API key's team.
    team = models.CharField(max_length=100, blank=True)
    key = models.CharField(max_length=128)
    # SHA-256 of method, path and body.
    fingerprint = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField(default=0)
    body = models.TextField(blank=True)
    location = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["actor", "team", "key"], name="idempotency_key_once")]

    def __str__(self) -> str:
        return self.key
