"""Commercial models that a run compares with: the smallest of each provider that the team has a key for."""

from typing import Any

from apps.accounts.models import Team
from apps.providers.availability import key_hindrance, today
from apps.providers.engine.commercial import CommercialModel, smallest_of_each_provider
from apps.providers.models import LanguageModel, ProviderKey
from apps.providers.selectors import environment_offers
from apps.providers.services import language_model_add_commercial, provider_key_from_environment


def models_within_reach(*, user: Any, team: Team) -> list[CommercialModel]:
    """What a run of this team would compare with now; empty for a team that lets no text leave."""
    if not team.text_may_leave:
        return []
    offered = {offer.provider for offer in environment_offers(user=user, team=team) if not offer.given_back}
    with_key = {key.provider for key in _usable_keys(team)} | offered
    return [model for model in smallest_of_each_provider(today()) if model.provider in with_key]


def commercial_models_ensure(*, actor: Any, team: Team) -> list[LanguageModel]:
    """The same as models of the team, made known and given their keys where they were not."""
    made = []
    for known in models_within_reach(user=actor, team=team):
        key = next((key for key in _usable_keys(team) if key.provider == known.provider), None)
        if key is None:
            key = provider_key_from_environment(actor=actor, team=team, provider=known.provider)
        made.append(
            language_model_add_commercial(
                actor=actor, team=team, provider=known.provider, provider_model=known.name, key=key
            )
        )
    return made


def _usable_keys(team: Team) -> list[ProviderKey]:
    keys = ProviderKey.objects.filter(team=team, revoked_at=None).order_by("id")
    return [key for key in keys if key_hindrance(key.provider, key) is None]
