"""What a call to a provider needs: where it goes, and the key in clear. Only metering asks."""

from dataclasses import dataclass, field

from django.conf import settings
from django.utils.translation import gettext as _

from apps.core.encryption import CannotDecrypt
from apps.core.errors import ApplicationError
from apps.providers.models import ProviderKey

# The variables of the environment, as an operator writes them.
VARIABLES = {"openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY"}


# Four characters of a key this short would be a good part of it.
SHORTEST_SHOWN = 12


def last_four(secret: str) -> str:
    """What is shown of a key after it was taken in; nothing of a short one."""
    return secret[-4:] if len(secret) >= SHORTEST_SHOWN else ""


class KeyUnavailable(ApplicationError):
    """There is no key to call with; the sentence says which one, and what to do."""

    code = "provider_key_unavailable"
    status = 409


@dataclass(frozen=True, slots=True)
class Connection:
    """Where calls go and with what. An empty `base_url` is the provider's own address; `api_key` may be empty for a
    compatible server alone.
    """

    provider: str
    base_url: str
    api_key: str = field(repr=False)


def connection_of(key: ProviderKey) -> Connection:
    """Open `key` for a call. KeyUnavailable: revoked, gone from the environment, not to be decrypted."""
    if key.revoked_at is not None:
        raise KeyUnavailable(_("The key “%(name)s” was revoked. Give the model another key.") % {"name": key.name})
    if key.source == ProviderKey.Source.ENVIRONMENT:
        return _from_environment(key)
    if not key.secret:
        return Connection(key.provider, key.base_url, "")
    try:
        secret = key.secret.open(context=key.secret_context)
    except CannotDecrypt as error:
        said = _("The key “%(name)s” cannot be read. %(why)s") % {"name": key.name, "why": error.message}
        raise KeyUnavailable(said) from error
    return Connection(key.provider, key.base_url, secret)


def _from_environment(key: ProviderKey) -> Connection:
    secret = settings.PROVIDER_API_KEYS.get(key.provider, "")
    if not secret:
        raise KeyUnavailable(
            _("The environment no longer holds %(variable)s. The operator sets it and starts LLMOpt again.")
            % {"variable": VARIABLES[key.provider]}
        )
    return Connection(key.provider, settings.PROVIDER_BASE_URLS.get(key.provider, ""), secret)


def unreadable(key: ProviderKey) -> str:
    """Why `key` opens nothing, as a sentence; empty for one that could be called with."""
    try:
        connection_of(key)
    except KeyUnavailable as error:
        return error.message
    return ""
