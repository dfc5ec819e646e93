"""Keys for providers in every state, and models that are called with them; nothing is ever sent."""

from apps.accounts.models import Team, User
from apps.accounts.services.people import team_text_may_leave_set
from apps.providers.models import ProviderKey
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
        language_model_add_commercial(actor=owner, team=team, provider="openai", provider_model=name, priced=True)
    provider_key_checked(actor=owner, key=key, ok=state != "failed", says=REFUSED if state == "failed" else "")
    old = provider_key_create(
        actor=owner, team=team, provider="anthropic", secret="sk-ant-fictional-0123456789-vuts", name="Last year's"
    )
    provider_key_revoke(actor=owner, key=old)
    if state == "full":
        provider_key_create(
            actor=owner,
            team=team,
            provider="compatible",
            base_url="https://models.example.org/v1",
            name="Our own server with a rather long name",
            max_concurrency=4,
        )
    if state == "failed":
        team_text_may_leave_set(actor=owner, team=team, allowed=False)
    return key
