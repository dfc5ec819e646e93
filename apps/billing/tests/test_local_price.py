"""The page on which a team says what an hour of computing on its own machine costs, instead of an assumed price."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.accounts.models import Team, User
from apps.billing import services
from apps.billing.models import Price
from apps.billing.selectors import price_of
from apps.core.errors import ApplicationError
from apps.core.models import AuditEvent
from apps.core.tests.factories import LanguageModelFactory, UnknownFactory, entry_of
from apps.core.tests.pressing import Walker

pytestmark = pytest.mark.django_db
GIVEN = {"nanousd_per_hour": "0.0625", "source": "Rent of the machine"}


def opened(person: User, team: Team) -> Walker:
    found = Walker(person)
    found.open(reverse("local_price", args=[team.slug]))
    return found


def said(page: Walker) -> str:
    return page.text.replace("\u00a0", " ")


def test_the_assumed_price_gives_way_to_the_team_s_own_and_what_was_booked_stays(
    team: Team, alice: User, settings: Any
) -> None:
    settings.LOCAL_NANOUSD_PER_HOUR = 77_000_000
    model = LanguageModelFactory.create(team=team)
    page = opened(alice, team)
    assert "$0.077" in said(page)
    assert "Nobody in this team has said what an hour costs" in said(page)
    assumed = services.prices_ensure_local(actor=None, team=team)
    entry = entry_of(UnknownFactory.create(team=team, price=assumed), kind="unknown")

    page.press("Set price", **GIVEN)

    holds = price_of(model)
    assert (holds.nanousd_per_hour, holds.assumed, holds.source) == (62_500_000, False, "Rent of the machine")
    assert "Set by this team: Rent of the machine." in said(page)
    assert "Holds now $0.0625 Rent of the machine" in said(page)
    assert said(page).index("Holds now") < said(page).index("Held before")
    entry.refresh_from_db()
    assert (entry.price, entry.price.assumed) == (assumed, True)
    assert services.prices_ensure_local(actor=None, team=team) == holds
    event = AuditEvent.objects.filter(verb="price.created").latest("id")
    assert (event.actor, event.facts["nanousd_per_hour"]) == (alice, 62_500_000)


@time_machine.travel(datetime(2026, 3, 1, 23, 30, tzinfo=UTC), tick=False)
def test_until_the_day_of_the_first_own_price_the_assumed_one_holds(team: Team, alice: User) -> None:
    model = LanguageModelFactory.create(team=team)
    # In Berlin it is half past midnight of the second of March.
    later = services.local_price_create(
        actor=alice, team=team, nanousd_per_hour=5, source="rent", first_day=datetime(2026, 3, 3).date()
    )

    assumed = services.prices_ensure_local(actor=None, team=team)

    assert (assumed.assumed, price_of(model)) == (True, assumed)
    assert "Will hold" in said(opened(alice, team))
    with time_machine.travel(datetime(2026, 3, 2, 23, 0, tzinfo=UTC)):
        assert price_of(model) == services.prices_ensure_local(actor=None, team=team) == later


def test_what_cannot_be_a_price_is_refused_at_its_field_and_keeps_what_was_typed(team: Team, alice: User) -> None:
    wrong = (
        ({"nanousd_per_hour": "-1"}, "greater than or equal to 0"),
        ({"nanousd_per_hour": ""}, "This field is required"),
        ({"nanousd_per_hour": "0.0000000001"}, "no more than 9 decimal places"),
        ({"nanousd_per_hour": "100001"}, "from $0 to $100,000"),
        ({"source": " "}, "This field is required"),
        ({"first_day": str(timezone.now().date() - timedelta(days=9))}, "Nothing past is priced anew"),
    )
    page = opened(alice, team)
    for change, says in wrong:
        page.press("Set price", **{**GIVEN, "first_day": "", **change})
        (field,) = change
        assert (page.status, says in said(page)) == (422, True), (change, said(page))
        assert page.main.xpath(f".//*[@id='id_{field}-error']")
        kept = {box.get("name"): box.get("value") for box in page.main.xpath(".//input[@type!='hidden']")}
        assert {**GIVEN, **change}.items() <= {name: value or "" for name, value in kept.items()}.items()
    assert not Price.objects.exists()
    with pytest.raises(ApplicationError, match="from \\$0 to"):
        services.local_price_create(actor=alice, team=team, nanousd_per_hour=-1, source="x")


def test_others_read_it_and_set_nothing(team: Team, bob: User, client: Client) -> None:
    page = opened(bob, team)
    assert "An owner or an admin of this team can set it." in said(page)
    client.force_login(bob)
    assert client.post(reverse("local_price", args=[team.slug]), GIVEN).status_code == 403
    assert not Price.objects.exists()


def test_it_is_reached_from_where_the_assumed_price_stands(team: Team, alice: User) -> None:
    model = LanguageModelFactory.create(team=team)
    here = reverse("local_price", args=[team.slug])
    page = opened(alice, team)
    page.open(reverse("model", args=[team.slug, model.uid]))
    assert re.search(r"Price .*\$0\.10 per hour ?assumed", said(page))
    assert page.main.xpath(f".//a[@href='{here}']")

    entry_of(UnknownFactory.create(team=team), kind="unknown")
    page.open(reverse("usage", args=[team.slug]))
    assert "that this team had not set" in said(page)
    assert page.main.xpath(f".//p//a[@href='{here}']")
