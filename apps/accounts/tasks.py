"""What housekeeping does with accounts."""

from datetime import timedelta

from django.utils import timezone

from apps.accounts.models import SignInLink

KEEP_LINKS = timedelta(days=30)


def sign_in_links_forget() -> int:
    """Delete links that have been of no use for a month; their making and their use stay in the audit trail."""
    return SignInLink.objects.filter(expires_at__lt=timezone.now() - KEEP_LINKS).delete()[0]
