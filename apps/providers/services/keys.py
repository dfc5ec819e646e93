"""Keys for providers: taken in, changed, tested, taken back. The text of a key is sealed on its way in and never given
out by anything here; `apps.providers.connections` opens it for a call.
"""

from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from apps.core import audit
from apps.core.access import require
from apps.core.encryption import Sealed, seal
from apps.core.errors import ApplicationError, Conflict, translated
from apps.core.unique import taken_first
from apps.providers.availability import provider_named
from apps.providers.connections import last_four
from apps.providers.engine.outbound import BaseUrlRefused, check_base_url
from apps.providers.models import MOST_AT_ONCE, LanguageModel, Provider, ProviderKey

SHORTEST_KEY, LONGEST_KEY = 8, 1000
LONGEST_NAME = 80
LONGEST_ADDRESS = 300


def provider_key_create(
    *,
    actor: Any,
    team: Any,
    provider: str,
    secret: str = "",
    name: str = "",
    base_url: str = "",
    max_concurrency: int | None = None,
    requests_per_minute: int | None = None,
) -> ProviderKey:
    """Keep a team's key for a provider. Models of that provider that have no key any more take it up.

    A compatible server needs its `base_url`, and may have no key at all; the others need a key and have one address.
    """
    require(team, actor, "manage")
    provider_named(provider)
    if provider == Provider.COMPATIBLE:
        base_url = _checked_address(base_url)
        secret = _checked_secret(secret, provider) if secret.strip() else ""
    elif base_url.strip():
        raise ApplicationError(
            _("%(provider)s has one address. Choose the OpenAI-compatible server to name another.")
            % {"provider": Provider(provider).label},
            field="base_url",
        )
    else:
        secret = _checked_secret(secret, provider)
    key = ProviderKey(
        team=team,
        provider=provider,
        base_url=base_url,
        max_concurrency=_at_once(max_concurrency),
        requests_per_minute=_per_minute(requests_per_minute),
        created_by=actor,
    )
    _fill_in(key, secret)
    with transaction.atomic():
        _save_named(key, name)
        audit.record(actor=actor, verb="provider_key.created", target=key, name=key.name, provider=provider)
        _adopt(key)
    return key


def provider_key_from_environment(*, actor: Any, team: Any, provider: str) -> ProviderKey:
    """Take up the key that the operator offers in the environment: one row for a team, without a secret."""
    require(team, actor, "manage")
    if not settings.PROVIDER_API_KEYS.get(provider):
        raise ApplicationError(
            _("The environment of this installation holds no key for %(provider)s.") % {"provider": provider},
            field="provider",
        )
    key = ProviderKey(team=team, provider=provider, source=ProviderKey.Source.ENVIRONMENT, created_by=actor)
    with transaction.atomic():
        found = ProviderKey.objects.filter(team=team, provider=provider, source=key.source, revoked_at=None).first()
        if found is not None:
            return found
        _save_named(key, _("%(provider)s, from the environment") % {"provider": Provider(provider).label})
        audit.record(actor=actor, verb="provider_key.taken_up", target=key, name=key.name, provider=provider)
        _adopt(key)
    return key


def provider_key_replace(*, actor: Any, key: ProviderKey, secret: str) -> ProviderKey:
    """Put a new secret in the place of the old one: name, limits and models stay, and it counts as not tested."""
    require(key, actor, "manage")
    if key.source == ProviderKey.Source.ENVIRONMENT:
        raise Conflict(_("This key comes from the environment. The operator changes it there and starts LLMOpt again."))
    _fill_in(key, _checked_secret(secret, key.provider))
    with transaction.atomic():
        changed = ProviderKey.objects.filter(pk=key.pk, revoked_at=None).update(
            secret=key.secret,
            last_four=key.last_four,
            state=ProviderKey.State.UNTESTED,
            checked_at=None,
            check_error="",
        )
        if not changed:
            raise _already_revoked()
        audit.record(actor=actor, verb="provider_key.replaced", target=key, name=key.name)
    key.refresh_from_db()
    return key


def provider_key_revoke(*, actor: Any, key: ProviderKey) -> None:
    """Take a key back and delete its secret. Its models need another before they can answer again."""
    require(key, actor, "manage")
    with transaction.atomic():
        changed = ProviderKey.objects.filter(pk=key.pk, revoked_at=None).update(
            state=ProviderKey.State.REVOKED, revoked_at=timezone.now(), secret=Sealed()
        )
        if not changed:
            raise _already_revoked()
        audit.record(actor=actor, verb="provider_key.revoked", target=key, name=key.name)
    key.refresh_from_db()


def provider_key_limits_change(
    *, actor: Any, key: ProviderKey, max_concurrency: int, requests_per_minute: int | None
) -> ProviderKey:
    """Change how many calls may be under way at once, and begin in a minute."""
    require(key, actor, "manage")
    wanted = {"max_concurrency": _at_once(max_concurrency), "requests_per_minute": _per_minute(requests_per_minute)}
    with transaction.atomic():
        if not ProviderKey.objects.filter(pk=key.pk, revoked_at=None).update(**wanted):
            raise _already_revoked()
        audit.record(actor=actor, verb="provider_key.limits_changed", target=key, name=key.name, **wanted)
    key.refresh_from_db()
    return key


def provider_key_checked(*, actor: Any, key: ProviderKey, ok: bool, says: str = "") -> bool:
    """Keep what a test of `key` has found; `says` is the sentence for a person where it failed.

    False, and nothing is kept, when the key was replaced or revoked since `key` was read: the old one was tested.
    """
    if not ok and not says:
        raise ValueError("a failed check has a sentence")
    require(key, actor, "edit")
    with transaction.atomic():
        changed = ProviderKey.objects.filter(pk=key.pk, revoked_at=None, secret=key.secret).update(
            state=ProviderKey.State.WORKING if ok else ProviderKey.State.FAILING,
            checked_at=timezone.now(),
            check_error="" if ok else says,
        )
        if changed:
            audit.record(actor=actor, verb="provider_key.checked", target=key, name=key.name, ok=ok)
    return bool(changed)


def _checked_secret(secret: str, provider: str) -> str:
    """The key without spaces around it. What is refused is never repeated in the sentence."""
    secret = secret.strip()
    if not secret:
        raise ApplicationError(_("Paste the key."), field="secret")
    if not (secret.isascii() and secret.isprintable()) or " " in secret:
        said = _("This is no key: it holds a space, a line break or a character that keys do not have. Copy it again.")
        raise ApplicationError(said, field="secret")
    if not SHORTEST_KEY <= len(secret) <= LONGEST_KEY:
        raise ApplicationError(
            _("A key has %(least)d to %(most)d characters; this has %(n)d. Copy all of it, and nothing else.")
            % {"least": SHORTEST_KEY, "most": LONGEST_KEY, "n": len(secret)},
            field="secret",
        )
    if provider == Provider.OPENAI and secret.startswith("sk-ant-"):
        said = _("This begins like a key for Anthropic. Choose Anthropic, or paste the key for OpenAI.")
        raise ApplicationError(said, field="secret")
    if provider == Provider.ANTHROPIC and secret.startswith("sk-") and not secret.startswith("sk-ant-"):
        said = _("This begins like a key for OpenAI. Choose OpenAI, or paste the key for Anthropic.")
        raise ApplicationError(said, field="secret")
    return secret


def _checked_address(base_url: str) -> str:
    if not base_url.strip():
        said = _("Give the address of the server, such as https://models.example.org/v1.")
        raise ApplicationError(said, field="base_url")
    try:
        address = check_base_url(base_url, settings.PROVIDER_HOSTS)
    except BaseUrlRefused as refused:
        raise ApplicationError(translated(refused), field="base_url") from refused
    if len(address) > LONGEST_ADDRESS:
        said = _("The address has more than %(most)d characters.") % {"most": LONGEST_ADDRESS}
        raise ApplicationError(said, field="base_url")
    return address


def _at_once(wanted: int | None) -> int:
    if wanted is None:
        return int(ProviderKey._meta.get_field("max_concurrency").default)
    if not 1 <= wanted <= MOST_AT_ONCE:
        raise ApplicationError(_("Calls at once: 1 to %(most)d.") % {"most": MOST_AT_ONCE}, field="max_concurrency")
    return wanted


def _per_minute(wanted: int | None) -> int | None:
    if wanted is not None and not 1 <= wanted <= 1_000_000:
        raise ApplicationError(_("Calls in a minute: at least 1, or empty."), field="requests_per_minute")
    return wanted


def _fill_in(key: ProviderKey, secret: str) -> None:
    key.secret = seal(secret, context=key.secret_context) if secret else Sealed()
    key.last_four = last_four(secret)


def _save_named(key: ProviderKey, name: str) -> None:
    """Save under `name`; one that nobody typed gets a number where it is taken."""
    wanted = name.strip()
    if len(wanted) > LONGEST_NAME:
        raise ApplicationError(_("The name has more than %(n)d characters.") % {"n": LONGEST_NAME}, field="name")
    taken = Conflict(_("This team has a key of this name already. Choose another name."), field="name")
    names = set(ProviderKey.objects.filter(team=key.team, revoked_at=None).values_list("name", flat=True))
    if wanted in names and key.source == ProviderKey.Source.ENTERED:
        raise taken
    base = wanted or str(Provider(key.provider).label)
    key.name = next(text for text in _numbered(base) if text not in names)
    with taken_first(taken):
        key.save()


def _numbered(base: str) -> Any:
    yield base
    number = 2
    while True:
        yield f"{base[: LONGEST_NAME - 6]} {number}"
        number += 1


def _adopt(key: ProviderKey) -> None:
    """Give the key to the team's models of that provider that have none which could still be used."""
    if key.provider == Provider.COMPATIBLE:
        return  # another server is another model
    without = Q(provider_key=None) | Q(provider_key__revoked_at__isnull=False)
    LanguageModel.objects.filter(without, team=key.team, provider=key.provider).update(provider_key=key)


def _already_revoked() -> Conflict:
    return Conflict(_("This key was revoked meanwhile. Add it again as a new one."))
