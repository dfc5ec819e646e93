"""API keys for photographs: one that is used, one that has ended, one that was revoked."""

from datetime import timedelta

from django.urls import reverse
from django.utils import timezone

from apps.accounts.models import APIKey, Team, User
from apps.accounts.services.keys import api_key_create, api_key_revoke


def look_keys(team: Team, owner: User) -> None:
    """Three keys of the owner, in the three states that a key has."""
    now = timezone.now()
    used = api_key_create(
        actor=owner, team=team, name="Web shop", scopes=["generate", "read"], expires_at=now + timedelta(days=60)
    )
    ended = api_key_create(actor=owner, team=team, name="Trial of last month", scopes=["read"])
    lost = api_key_create(actor=owner, team=team, name="Laptop that was lost", scopes=["read", "write"])
    APIKey.objects.filter(pk=used.key.pk).update(last_used_at=now - timedelta(minutes=12))
    APIKey.objects.filter(pk=ended.key.pk).update(expires_at=now - timedelta(days=9))
    api_key_revoke(actor=owner, key=lost.key)


def key_pages(team: Team) -> list[tuple[str, str]]:
    first = APIKey.objects.filter(team=team).order_by("id").first()
    one = [("api-key", reverse("api_key", args=[team.slug, first.uid]))] if first is not None else []
    return [("api-keys", reverse("api_keys", args=[team.slug])), *one]
