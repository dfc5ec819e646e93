"""The demo team of an embedded installation, with its owner, an assumed price and a budget."""

from typing import Any

from django.db import transaction

from apps.accounts.models import Team, User
from apps.accounts.services.people import team_create, user_create
from apps.billing.models import Budget
from apps.billing.services import budget_create, prices_ensure_local

EMAIL = "owner@demo.llmopt.local"
SLUG = "demo"
BUDGET_NANOUSD = 5_000_000_000


def demo_team_ensure() -> tuple[Team, User]:
    """The demo team and its owner, made on the first start."""
    with transaction.atomic():
        user = User.objects.filter(email=EMAIL).first() or user_create(actor=None, email=EMAIL, name="Demo owner")
        team = Team.objects.filter(slug=SLUG).first() or team_create(
            actor=None, name="Demo team", slug=SLUG, owner=user
        )
    prices_ensure_local(actor=None, team=team)
    _budget_ensure(team, user)
    return team, user


def _budget_ensure(team: Team, user: Any) -> None:
    if not Budget.objects.filter(team=team, experiment=None).exists():
        budget_create(actor=user, team=team, period=Budget.Period.TOTAL, limit_nanousd=BUDGET_NANOUSD)
