"""Keys for providers in every state, and models that are called with them; nothing is ever sent."""

from datetime import timedelta

from django.urls import reverse
from django.utils import timezone

from apps.accounts.models import Team, User
from apps.accounts.services.people import team_text_may_leave_set
from apps.billing.engine.rates import Rate, TokenRates
from apps.billing.services import token_price_create
from apps.providers.models import LanguageModel, ProviderKey
from apps.providers.services import (
    language_model_add_commercial,
    provider_key_checked,
    provider_key_create,
    provider_key_revoke,
)

REFUSED = "OpenAI does not know this key. Make a new one on its page of API keys, and replace this one."


def look_providers(team: Team, owner: User, state: str) -> ProviderKey:
    """The key whose page is photographed. In the failed state it fails, and the team lets no text leave."""
    key = provider_key_create(actor=owner, team=team, provider="openai", secret="sk-fictional-0123456789-wxyz")
    for name in ("gpt-6-luna", "gpt-5-mini"):
        language_model_add_commercial(actor=owner, team=team, provider="openai", provider_model=name)
    provider_key_checked(actor=owner, key=key, ok=state != "failed", says=REFUSED if state == "failed" else "")
    old = provider_key_create(
        actor=owner, team=team, provider="anthropic", secret="sk-ant-fictional-0123456789-vuts", name="Last year's"
    )
    provider_key_revoke(actor=owner, key=old)
    if state == "full":
        own = provider_key_create(
            actor=owner,
            team=team,
            provider="compatible",
            base_url="https://models.example.org/v1",
            name="Our own server with a rather long name",
            max_concurrency=4,
        )
        language_model_add_commercial(
            actor=owner, team=team, provider="compatible", provider_model="qwen3:8b", key=own, context_length=32_768
        )
        _price(team, owner)
    if state == "failed":
        team_text_may_leave_set(actor=owner, team=team, allowed=False)
    return key


def _price(team: Team, owner: User) -> None:
    """A price of the team's own, dearer for long prompts, in the place of an earlier one, and one that is to come."""
    model = LanguageModel.objects.get(team=team, served_name="gpt-5-mini")
    soon = timezone.now().date() + timedelta(days=60)
    for dollars, source, first_day in ((3, "Contract", None), (2, "Contract, second year", None), (1, "Offer", soon)):
        given, made, cached = (
            Rate(dollars * amount, ((200_000, 2 * dollars * amount),)) for amount in (10**8, 10**9, 10**7)
        )
        rates = TokenRates(given, made, cached)
        token_price_create(actor=owner, team=team, model=model, rates=rates, source=source, first_day=first_day)


def price_pages(team: Team) -> list[tuple[str, str]]:
    """The prices of a provider's model, and of one that has none."""
    models = LanguageModel.objects.filter(team=team, served_name="gpt-5-mini")
    unpriced = LanguageModel.objects.filter(team=team, provider="compatible").first()
    pages = [("model-price", reverse("model_price", args=[team.slug, model.uid])) for model in models]
    if unpriced is not None:
        pages += [
            (f"model-unpriced{'' if name == 'model' else '-price'}", reverse(name, args=[team.slug, unpriced.uid]))
            for name in ("model", "model_price")
        ]
    return pages
