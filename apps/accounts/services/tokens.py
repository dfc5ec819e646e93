"""Programs that sign in with a person's password: pairs of tokens, renewed one after the other."""

from datetime import datetime, timedelta
from uuid import uuid4

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from apps.accounts.models import TokenFamily, User
from apps.accounts.tokens import FAMILY, RefreshToken, TokenPair, claims_of, pair_for
from apps.core import audit
from apps.core.errors import ApplicationError

KEEP_FAMILIES = timedelta(days=30)


class TokenRefused(ApplicationError):
    """A refresh token that gets nothing: the program has to sign in again."""

    code = "token_refused"
    status = 401


def tokens_create(*, actor: User) -> TokenPair:
    """The first pair for somebody whose password was right."""
    with transaction.atomic():
        family = TokenFamily.objects.create(user=actor, current=uuid4().hex, expires_at=_end())
        audit.record(actor=actor, verb="user.signed_in", target=actor, method="token")
    return pair_for(family)


def tokens_refresh(*, actor: None, refresh: str) -> TokenPair:
    """The next pair for a refresh token, which is spent by this. A token that was spent before ends its family.

    It was then copied, and nobody can tell which of the two who had it is the thief.
    """
    refused = TokenRefused(_("This refresh token is not valid any more. Sign in again."))
    claims = claims_of(refresh, RefreshToken)
    if claims is None:
        raise refused
    with transaction.atomic():
        family = _locked(claims[FAMILY])
        if family is None or family.revoked_at is not None or not family.user.is_active:
            raise refused
        reused = family.current != claims["jti"]
        if reused:
            _end_family(family, verb="token_family.reused")
        else:
            family.current, family.expires_at = uuid4().hex, _end()
            family.save(update_fields=["current", "expires_at"])
    if reused:
        message = _("This refresh token was used before, so its program has been signed out. Sign in again.")
        raise TokenRefused(message, code="token_reused")
    return pair_for(family)


def tokens_revoke(*, actor: None, refresh: str) -> None:
    """Sign a program out. A token that names no program any more is as good as revoked."""
    claims = claims_of(refresh, RefreshToken)
    if claims is None:
        return
    with transaction.atomic():
        family = _locked(claims[FAMILY])
        if family is not None and family.revoked_at is None:
            _end_family(family, verb="token_family.revoked")


def token_families_revoke(*, actor: User | None, user: User) -> int:
    """Sign out every program of a person, whose password has changed."""
    with transaction.atomic():
        open_ones = TokenFamily.objects.filter(user=user, revoked_at__isnull=True, expires_at__gt=timezone.now())
        ended = open_ones.update(revoked_at=timezone.now())
        if ended:
            audit.record(actor=actor, verb="user.programs_signed_out", target=user, programs=ended)
    return ended


def token_families_forget() -> int:
    """Delete programs that ended a month ago; their sign-in stays in the audit trail."""
    return TokenFamily.objects.filter(expires_at__lt=timezone.now() - KEEP_FAMILIES).delete()[0]


def _locked(uid: str) -> TokenFamily | None:
    return TokenFamily.objects.select_for_update(of=("self",)).select_related("user").filter(uid=uid).first()


def _end_family(family: TokenFamily, *, verb: str) -> None:
    family.revoked_at = timezone.now()
    family.save(update_fields=["revoked_at"])
    audit.record(actor=family.user, verb=verb, target=family.user, team_id=None)


def _end() -> datetime:
    return timezone.now() + RefreshToken.lifetime
