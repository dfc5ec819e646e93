"""Whether a model can be called now, and if not, why: the one answer for pages, forms and services."""

from dataclasses import dataclass
from datetime import date
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from apps.core.errors import ApplicationError
from apps.providers.engine.outbound import AllowedHosts, literal_address
from apps.providers.models import LanguageModel, Provider, ProviderKey

RETIRED, NO_KEY, STAYS = "model_retired", "provider_key_missing", "text_may_not_leave"
_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class Hindrance:
    """Why a model cannot be called: a stable code, and a sentence for a person."""

    code: str
    says: str


class ModelUnavailable(ApplicationError):
    """A model that cannot be called was chosen for something new."""

    status = 409


def hindrance(model: LanguageModel) -> Hindrance | None:
    """What stands in the way of calling `model` now; None for one that can be called, and for all that run here."""
    if not model.provider:
        return None
    if model.retires_on is not None and model.retires_on <= today():
        return Hindrance(RETIRED, retired_sentence(model.provider, model.name, model.retires_on, model.replaced_by))
    address = model.provider_key.base_url if model.provider_key else ""
    forbidden = forbidden_to_leave(team=model.team, provider=model.provider, base_url=address)
    return forbidden or key_hindrance(model.provider, model.provider_key)


def choosable(model: LanguageModel) -> None:
    """Raise ModelUnavailable for a model that nothing new may be made with. One that is still made ready is none."""
    found = hindrance(model)
    if found is not None:
        raise ModelUnavailable(found.says, code=found.code, field="model")


def forbidden_to_leave(*, team: Any, provider: str, base_url: str = "") -> Hindrance | None:
    """Whether the team forbids sending text where this provider's models are."""
    if team.text_may_leave or stays_inside(base_url):
        return None
    says = _("This team lets no text leave to other companies, so %(where)s is not called.")
    return Hindrance(STAYS, says % {"where": sent_to(provider, base_url)})


def key_hindrance(provider: str, key: ProviderKey | None) -> Hindrance | None:
    if key is None:
        says = _("It needs a key for %(provider)s.") % {"provider": Provider(provider).label}
    elif key.revoked_at is not None:
        says = _("Its key “%(name)s” was revoked. It needs another.") % {"name": key.name}
    elif key.source == ProviderKey.Source.ENVIRONMENT and not settings.PROVIDER_API_KEYS.get(provider):
        says = _("The environment no longer holds its key.")
    else:
        return None
    return Hindrance(NO_KEY, says)


def sent_to(provider: str, base_url: str = "") -> str:
    """Who reads the text of a call: the provider's name, or the host of a compatible server."""
    return urlsplit(base_url).netloc if base_url else str(Provider(provider).label)


def stays_inside(base_url: str) -> bool:
    """Whether an address is one of this machine or network that the operator has named (LLMOPT_PROVIDER_HOSTS)."""
    if not base_url or not settings.PROVIDER_HOSTS:
        return False
    parts = urlsplit(base_url)
    host, port = parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 0)
    allowed = AllowedHosts.parse(settings.PROVIDER_HOSTS)
    address = literal_address(host)
    return allowed.name(host, port) or (address is not None and allowed.address(address, port))


def provider_named(provider: str) -> Provider:
    """The provider of that name; ApplicationError at the field `provider` for none."""
    if provider not in Provider.values:
        raise ApplicationError(
            _("%(provider)s is not a provider. Choose from %(known)s.")
            % {"provider": provider, "known": ", ".join(Provider.values)},
            field="provider",
        )
    return Provider(provider)


def retired_sentence(provider: str, name: str, day: date, replaced_by: str) -> str:
    """That a provider no longer answers for a model, and what it names instead."""
    facts = {
        "name": name,
        "provider": Provider(provider).label,
        "day": date_format(day, "j M Y"),
        "successor": replaced_by,
    }
    if replaced_by:
        return _("%(provider)s retired %(name)s on %(day)s and names %(successor)s in its place.") % facts
    return _("%(provider)s retired %(name)s on %(day)s.") % facts


def today() -> date:
    """Retirement goes by the day in UTC, as the providers announce it."""
    return timezone.now().date()
