"""Tokens that a program gets for a person's password: signed, and good while the family in the database is.

An access token opens what the person's session does, for some minutes. A refresh token gets the next pair, once.
"""

import hashlib
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from django.conf import settings
from rest_framework_simplejwt.backends import TokenBackend
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.settings import api_settings
from rest_framework_simplejwt.tokens import Token

from apps.accounts.models import TokenFamily, User

FAMILY = "family"


@dataclass(frozen=True)
class TokenPair:
    """What a program gets. `expires_in` are the seconds that the access token is good for."""

    access: str = field(repr=False)
    refresh: str = field(repr=False)
    expires_in: int


class _Signed(Token):
    def get_token_backend(self) -> TokenBackend:
        return _backend(settings.SECRET_KEY)

    def set_iat(self, *args: Any, **kwargs: Any) -> None:
        """None: it decides nothing, and a token made before the clock was set back would be refused for it."""


class AccessToken(_Signed):
    token_type = "access"  # noqa: S105 - the kind of a token
    lifetime = api_settings.ACCESS_TOKEN_LIFETIME


class RefreshToken(_Signed):
    token_type = "refresh"  # noqa: S105 - the kind of a token
    lifetime = api_settings.REFRESH_TOKEN_LIFETIME


def pair_for(family: TokenFamily) -> TokenPair:
    """The tokens that `family.current` names; the row has to be saved by the caller."""
    access, refresh = AccessToken(), RefreshToken()
    for token in (access, refresh):
        token["sub"], token[FAMILY] = str(family.user.uid), str(family.uid)
    refresh["jti"] = family.current
    return TokenPair(str(access), str(refresh), int(AccessToken.lifetime.total_seconds()))


def claims_of(text: str, kind: type[Token]) -> dict[str, Any] | None:
    """What a token of this kind says; None for one that is expired, of another kind, or not signed by us."""
    try:
        claims: dict[str, Any] = kind(text).payload  # type: ignore[arg-type]  # it wraps itself
    except TokenError:
        return None
    return claims if FAMILY in claims and "sub" in claims else None


def person_of(text: str) -> User | None:
    """The person whose access token this is, if their program is still signed in. One query."""
    claims = claims_of(text, AccessToken)
    if claims is None:
        return None
    family = (
        TokenFamily.objects.select_related("user")
        .filter(uid=claims[FAMILY], user__uid=claims["sub"], revoked_at__isnull=True, user__is_active=True)
        .first()
    )
    return family.user if family is not None else None


@lru_cache(maxsize=2)
def _backend(secret: str) -> TokenBackend:
    # A key of its own: what is signed for one purpose must never be taken for another.
    return TokenBackend("HS256", hashlib.sha256(f"llmopt tokens {secret}".encode()).hexdigest())
