"""Who calls the REST API: `Authorization: Bearer` with an API key or an access token. Sessions are DRF's own."""

from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework import exceptions
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from apps.accounts.engine.keys import looks_like_key
from apps.accounts.keys import key_of, key_refusal
from apps.accounts.models import User
from apps.accounts.selectors import user_by_id
from apps.accounts.services.keys import api_key_use_record
from apps.accounts.tokens import person_of
from apps.core import rates
from apps.core.problems import CHALLENGE


class BearerAuthentication(BaseAuthentication):
    """A header that is there and wrong is refused: nobody falls back to the session of their browser unawares."""

    def authenticate(self, request: Request) -> tuple[User, str] | None:
        text = _bearer(request)
        if text is None:
            return None
        person = _key_person(text, _address(request)) if looks_like_key(text) else person_of(text)
        if person is None:
            raise _refusal(text, _address(request))
        return person, "key" if person.through_key is not None else "token"

    def authenticate_header(self, request: Request) -> str:
        return CHALLENGE


class BearerScheme(OpenApiAuthenticationExtension):
    """Both kinds in the OpenAPI document."""

    target_class = BearerAuthentication
    name = ["apiKey", "accessToken"]  # noqa: RUF012 - as the base class has it

    def get_security_requirement(self, auto_schema: Any) -> list[dict[str, list[Any]]]:
        # One of them, not both.
        return [{name: []} for name in self.name]

    def get_security_definition(self, auto_schema: Any) -> list[dict[str, str]]:
        return [
            {"type": "http", "scheme": "bearer", "bearerFormat": "llmopt_…", "description": "A key of a team."},
            {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "A token of `auth/token`."},
        ]


def _bearer(request: Request) -> str | None:
    """What follows `Bearer` in the header; None without the header. Nothing else is ever read as a key."""
    header = request.META.get("HTTP_AUTHORIZATION")
    if header is None:
        return None
    scheme, _space, text = header.strip().partition(" ")
    if scheme.lower() != "bearer":
        raise exceptions.NotAuthenticated
    return text.strip()


def _address(request: Request) -> str:
    return str(request.META.get("REMOTE_ADDR", ""))


def _key_person(text: str, address: str) -> User | None:
    """The person of a valid key, kept to its team."""
    facts = key_of(text)
    person = user_by_id(facts.person_id) if facts is not None else None
    if facts is None or person is None:
        return None
    person.through_key = facts  # type: ignore[misc]  # an attribute of this one object
    api_key_use_record(actor=person, facts=facts, address=address)
    return person


def _refusal(text: str, address: str) -> exceptions.APIException:
    """401 with the reason; 429 for an address that was refused too often, which learns nothing more."""
    name = f"bearer:{rates.network_of(address)}"
    wait = rates.admit(name, limit=settings.SIGN_IN_TRIES_PER_MINUTE)
    if wait:
        return exceptions.Throttled(wait)
    if looks_like_key(text):
        why = key_refusal(text)
        return exceptions.AuthenticationFailed(why.message, why.code)
    message = _("This access token is not valid, or not any more. Get a new one from auth/token/refresh.")
    return exceptions.AuthenticationFailed(message, "token_invalid")
