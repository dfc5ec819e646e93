"""Tokens for programs that have a person's password."""

from typing import Any

from django.conf import settings
from django.contrib.auth import authenticate
from django.contrib.auth.signals import user_logged_in
from django.utils.translation import gettext as _
from rest_framework.decorators import api_view, authentication_classes, permission_classes, throttle_classes
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api.serializers import RefreshSerializer, SignInSerializer, TokenPairSerializer
from apps.accounts.models import User
from apps.accounts.services import tokens
from apps.accounts.tokens import TokenPair
from apps.core.api.schema import documented
from apps.core.api.throttles import SignInPerAddress
from apps.core.errors import ApplicationError, TooOften

TAG = "auth"


class WrongCredentials(ApplicationError):
    code = "wrong_credentials"
    status = 401


@documented(
    "auth_token",
    method="POST",
    answer=TokenPairSerializer,
    request=SignInSerializer,
    tag=TAG,
    signed_in=False,
    repeatable=False,
)
@api_view(["POST"])
@authentication_classes([])
@permission_classes([AllowAny])
@throttle_classes([SignInPerAddress])
def token(request: Request) -> Response:
    """A first pair of tokens for an e-mail address and its password.

    An account that only ever signed in with a link has no password: set one on the account page, or use an API key.
    Ten wrong passwords in a row lock the address out for a quarter of an hour.
    """
    given = SignInSerializer(data=request.data)
    given.is_valid(raise_exception=True)
    values = given.validated_data
    user: Any = authenticate(request._request, username=values["email"].lower(), password=values["password"])
    if user is None:
        raise _refusal(request)
    assert isinstance(user, User)  # noqa: S101 - for the type checker: the only kind of account there is
    # What Django sends after any sign-in: it forgets the wrong tries and notes the time.
    user_logged_in.send(sender=User, request=request._request, user=user)
    return _answer(tokens.tokens_create(actor=user))


@documented(
    "auth_token_refresh",
    method="POST",
    answer=TokenPairSerializer,
    request=RefreshSerializer,
    tag=TAG,
    signed_in=False,
    repeatable=False,
)
@api_view(["POST"])
@authentication_classes([])
@permission_classes([AllowAny])
@throttle_classes([SignInPerAddress])
def token_refresh(request: Request) -> Response:
    """The next pair. The refresh token that was sent is spent; sent again, it signs its program out."""
    return _answer(tokens.tokens_refresh(actor=None, refresh=_refresh_token(request)))


@documented(
    "auth_token_revoke",
    method="POST",
    answer=None,
    status=204,
    request=RefreshSerializer,
    tag=TAG,
    signed_in=False,
    repeatable=False,
)
@api_view(["POST"])
@authentication_classes([])
@permission_classes([AllowAny])
@throttle_classes([SignInPerAddress])
def token_revoke(request: Request) -> Response:
    """Sign the program out: neither its refresh tokens nor its access tokens open anything from now on."""
    tokens.tokens_revoke(actor=None, refresh=_refresh_token(request))
    return Response(status=204)


def _refresh_token(request: Request) -> str:
    given = RefreshSerializer(data=request.data)
    given.is_valid(raise_exception=True)
    return str(given.validated_data["refresh"])


def _answer(pair: TokenPair) -> Response:
    return Response(TokenPairSerializer(pair).data, headers={"Cache-Control": "no-store"})


def _refusal(request: Request) -> ApplicationError:
    if getattr(request._request, "axes_locked_out", False):
        wait = int(settings.AXES_COOLOFF_TIME * 3600)
        message = _("There were ten wrong tries in a row. Wait 15 minutes, then try again.")
        return TooOften(message, wait=wait, code="locked_out")
    return WrongCredentials(_("This e-mail address and password do not belong together."))
