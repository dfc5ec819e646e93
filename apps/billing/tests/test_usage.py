"""What was spent, on its pages and in its file: days of the team's own calendar, parts, unknown costs, the cache."""

import csv
import io
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.accounts.models import Team, User
from apps.billing import usage_reading
from apps.billing.charts import spending_chart
from apps.billing.models import BudgetPeriod, CachedResponse, LedgerEntry, ReservationHold
from apps.billing.usage_reading import Days, LedgerTotals
from apps.core.errors import ApplicationError
from apps.core.models import AuditEvent
from apps.core.tests.factories import (
    BudgetFactory,
    ExperimentFactory,
    LanguageModelFactory,
    PriceFactory,
    UnknownFactory,
    entry_of,
)
from apps.core.tests.pressing import Walker

pytestmark = pytest.mark.django_db
CENT = 10**7


def call(team: Team, at: datetime | None = None, *, amount_nanousd: int = CENT, **more: Any) -> LedgerEntry:
    """A settled call with an entry of that moment."""
    fields = {name: more.pop(name) for name in ("language_model", "experiment", "person", "price") if name in more}
    reservation = UnknownFactory.create(team=team, state="settled", **fields)
    entry = entry_of(reservation, amount_nanousd=amount_nanousd, **more)
    if at is not None:
        LedgerEntry.objects.filter(pk=entry.pk).update(created_at=at)
    return entry


def hit(team: Team, model: Any, saved_nanousd: int) -> None:
    LedgerEntry.objects.create(
        team=team, kind="cached", amount_nanousd=0, saved_nanousd=saved_nanousd, language_model=model, purpose="x",
        prompt_tokens=1000, completion_tokens=1000,
    )  # fmt: skip


def in_zone(team: Team, zone: str) -> Team:
    team.time_zone = zone
    team.save(update_fields=["time_zone"])
    return team


# --- days


@pytest.mark.both_databases
def test_a_call_late_in_the_evening_falls_into_the_next_day_in_tokyo(team: Team) -> None:
    in_zone(team, "Asia/Tokyo")
    call(team, datetime(2026, 11, 9, 14, 59, 59, tzinfo=UTC), amount_nanousd=1)
    call(team, datetime(2026, 11, 9, 23, 30, tzinfo=UTC), amount_nanousd=20)

    found = usage_reading.usage(team, Days(date(2026, 11, 9), date(2026, 11, 10), "Asia/Tokyo"))
    last_day = usage_reading.totals(team, Days(date(2026, 11, 10), date(2026, 11, 10), "Asia/Tokyo"))

    assert {day.day: sums.spent_nanousd for day, sums in found.by_day.items()} == {9: 1, 10: 20}
    assert last_day.spent_nanousd == 20


@pytest.mark.both_databases
def test_the_day_of_a_clock_change_has_all_its_hours_and_no_other(team: Team) -> None:
    """25 October 2026 in Berlin has 25 hours, 29 March 23."""
    in_zone(team, "Europe/Berlin")
    moments = ["2026-10-24T21:59", "2026-10-24T22:00", "2026-10-25T22:59", "2026-10-25T23:00"]
    moments += ["2026-03-28T22:59", "2026-03-28T23:00", "2026-03-29T21:59", "2026-03-29T22:00"]
    for power, moment in enumerate(moments):
        call(team, datetime.fromisoformat(moment).replace(tzinfo=UTC), amount_nanousd=10**power)

    autumn = Days(date(2026, 10, 25), date(2026, 10, 25), "Europe/Berlin")
    spring = Days(date(2026, 3, 29), date(2026, 3, 29), "Europe/Berlin")

    assert usage_reading.totals(team, autumn).spent_nanousd == 110
    assert usage_reading.totals(team, spring).spent_nanousd == 1_100_000
    assert usage_reading.usage(team, autumn).by_day[autumn.first].spent_nanousd == 110


def test_ranges_are_of_the_team_s_calendar_and_impossible_ones_are_said(team: Team) -> None:
    in_zone(team, "Asia/Tokyo")
    now = datetime(2026, 10, 31, 23, 30, tzinfo=UTC)
    month, thirty = usage_reading.days_of(team, now=now), usage_reading.days_of(team, named="30d", now=now)
    assert (month.first, month.last) == (date(2026, 11, 1), date(2026, 11, 1))
    assert (thirty.first, len(thirty.each())) == (date(2026, 10, 3), 30)
    wrong = [(None, date(2026, 1, 1)), (date(2026, 1, 2), date(2026, 1, 1)), (date(2001, 1, 1), date(2026, 1, 1))]
    for first, last in wrong:
        with pytest.raises(ApplicationError):
            usage_reading.days_of(team, named="custom", first=first, last=last)


# --- the page


@pytest.mark.both_databases
def test_the_page_divides_what_was_spent_and_counts_the_cache_apart(client: Client, team: Team, vera: User) -> None:
    dear = LanguageModelFactory.create(team=team, name="GPT dear")
    cheap = LanguageModelFactory.create(team=team, name="Small cheap")
    real = PriceFactory.create(team=team, assumed=False)
    experiment = ExperimentFactory.create(team=team, name="Sorting mail")
    call(team, language_model=dear, price=real, experiment=experiment, amount_nanousd=150 * CENT, prompt_tokens=70)
    call(team, language_model=cheap, person=vera, amount_nanousd=3, completion_tokens=9)
    hit(team, dear, 25 * CENT)
    client.force_login(vera)
    page = Walker(vera)
    page.open(reverse("usage", args=[team.slug]))

    rows = page.main.xpath(".//caption[contains(., 'What was spent')]/..//tbody/tr")
    cells = [[cell.text_content().strip() for cell in row.xpath("./th | ./td")] for row in rows]
    assert cells == [
        ["GPT dear", "$1.50", "$0.25", "2", "50\u00a0%", "70", "0"],
        ["Small cheap", "$0.000000003assumed", "$0.00", "1", "0\u00a0%", "0", "9"],
    ]
    assert "more than half of it for GPT dear" in page.text
    assert "It can be made after five complete days." in page.text
    page.follow("By person")
    assert "Vera" in page.text
    assert "Nobody named" in page.text
    page.follow("By experiment")
    page.follow("Sorting mail")


@pytest.mark.parametrize(("days", "end"), [(1, "2026-12-14T12:00:00"), (30, "2026-12-30T12:00:00")])
def test_the_chart_of_a_single_day_leaves_room_for_those_that_follow(team: Team, days: int, end: str) -> None:
    call(team, datetime(2026, 12, 1, 10, tzinfo=UTC))
    found = usage_reading.usage(team, Days(date(2026, 12, 1), date(2026, 12, days), "UTC"))
    chart = spending_chart(found)
    assert chart is not None
    assert chart.figure["layout"]["xaxis"]["range"] == ["2026-11-30T12:00:00", end]
    assert {bar["width"] for bar in chart.figure["data"]} == {69_120_000.0}


def test_another_team_s_money_is_in_no_sum(team: Team, other_team: Team) -> None:
    call(team, amount_nanousd=5)
    call(other_team, amount_nanousd=7)
    assert usage_reading.totals(team, usage_reading.days_of(team)).spent_nanousd == 5


def test_a_range_that_cannot_be_is_said_and_this_month_is_shown(client: Client, team: Team, bob: User) -> None:
    call(team)
    client.force_login(bob)
    address = reverse("usage", args=[team.slug])
    answer = client.get(address, {"range": "custom", "first": "2026-02-02", "last": "2026-02-01"})
    assert answer.status_code == 422
    assert "The last day lies before the first." in answer.content.decode()
    assert "$0.01" in answer.content.decode()
    before = client.get(address, {"range": "custom", "first": "2020-02-01", "last": "2020-02-02"})
    assert "Nothing was called in these days." in before.content.decode()
    assert client.get(reverse("usage_csv", args=[team.slug]), {"range": "custom"}).status_code == 422


def test_the_month_is_forecast_from_complete_days(client: Client, team: Team) -> None:
    in_zone(team, "UTC")
    now = datetime(2026, 11, 12, 12, tzinfo=UTC)
    for day in range(1, 13):
        call(team, now.replace(day=day), amount_nanousd=CENT)
    found = usage_reading.forecast(team, now=now)
    assert found is not None
    # The first day of all is no complete one.
    assert (found.days, found.value_nanousd, found.low_nanousd) == (10, 30 * CENT, 30 * CENT)
    assert usage_reading.forecast(team, now=datetime(2026, 11, 5, 12, tzinfo=UTC)) is None


def test_the_file_adds_up_and_runs_no_formula(client: Client, team: Team, alice: User) -> None:
    evil = LanguageModelFactory.create(team=team, name='=HYPERLINK("http://x")')
    entry = call(team, language_model=evil, person=alice, amount_nanousd=123)
    entry_of(entry.reservation, kind="correction", amount_nanousd=-100)  # type: ignore[arg-type]
    client.force_login(alice)
    answer = client.get(reverse("usage_csv", args=[team.slug]))
    (line,) = csv.DictReader(io.StringIO(answer.content.decode()))
    assert answer["Content-Disposition"].startswith('attachment; filename="usage-addresses-')
    assert line["model"] == '\'=HYPERLINK("http://x")'
    assert (line["spent_usd"], line["calls"], line["person"]) == ("0.000000023", "1", "Alice")
    assert line["assumed_price"] == "yes"


# --- unknown costs


@pytest.mark.both_databases
def test_an_unknown_cost_is_corrected_by_a_second_entry_and_stays_listed(team: Team, adam: User) -> None:
    unknown = UnknownFactory.create(team=team, held_nanousd=50 * CENT)
    budget = BudgetFactory.create(team=team)
    period = BudgetPeriod.objects.create(
        budget=budget, key="total", limit_nanousd=budget.limit_nanousd, spent_nanousd=50 * CENT
    )
    ReservationHold.objects.create(reservation=unknown, budget_period=period)
    entry_of(unknown, kind="unknown", amount_nanousd=50 * CENT, evidence="No answer in 120 seconds.")
    page = Walker(adam)
    page.open(reverse("usage_unknown", args=[team.slug]))
    assert "No answer in 120 seconds." in page.text
    assert "not corrected" in page.text
    page.open(page.main.xpath(".//tbody//a/@href")[0])

    page.press("Book correction", amount="0.02", evidence=" ")
    assert page.status == 422
    page.press("Book correction", amount="0.02", evidence="Invoice 7 of 30 November")

    page.open(reverse("usage_unknown", args=[team.slug]))
    row = page.main.xpath(".//tbody/tr")[0].text_content()
    for text in ("No answer in 120 seconds.", "Invoice 7 of 30 November", "$0.50", "\u2212$0.48", "$0.02"):
        assert text in row
    period.refresh_from_db()
    assert period.spent_nanousd == 2 * CENT
    assert LedgerEntry.objects.filter(reservation=unknown).count() == 2
    assert AuditEvent.objects.get(verb="reservation.corrected").actor == adam


def test_an_editor_sees_unknown_costs_and_corrects_none(client: Client, team: Team, bob: User) -> None:
    unknown = UnknownFactory.create(team=team)
    entry_of(unknown, kind="unknown")
    client.force_login(bob)
    address = reverse("usage_unknown_attempt", args=[team.slug, unknown.uid])
    assert "An owner or an admin of this team can correct it." in client.get(address).content.decode()
    assert client.post(address, {"amount": "0", "evidence": "so"}).status_code == 403
    assert LedgerEntry.objects.count() == 1


def test_a_settled_call_is_no_unknown_cost(client: Client, team: Team, alice: User) -> None:
    settled = call(team)
    client.force_login(alice)
    address = reverse("usage_unknown_attempt", args=[team.slug, settled.reservation.uid])  # type: ignore[union-attr]
    assert client.get(address).status_code == 404


@pytest.mark.both_databases
def test_the_totals_of_the_installation_are_of_every_team(team: Team, other_team: Team) -> None:
    assert usage_reading.ledger_totals() == LedgerTotals(0, 0, 0, hits=0, misses=0, unknown=0)
    call(team, amount_nanousd=5)
    hit(other_team, LanguageModelFactory.create(team=other_team), 11)
    for corrected in (True, False):
        unknown = UnknownFactory.create(team=other_team)
        entry_of(unknown, kind="unknown", amount_nanousd=100)
        if corrected:
            entry_of(unknown, kind="correction", amount_nanousd=-70)
    UnknownFactory.create(team=team, state="held", held_nanousd=13)
    assert usage_reading.ledger_totals() == LedgerTotals(135, 11, 13, hits=1, misses=3, unknown=1)


# --- the cache


@pytest.mark.both_databases
def test_the_cache_says_what_it_saved_and_holds_and_is_purged_by_model(
    team: Team, other_team: Team, alice: User, settings: Any
) -> None:
    settings.RESPONSE_CACHE_DAYS = 30
    one = LanguageModelFactory.create(team=team, name="One")
    two = LanguageModelFactory.create(team=team, name="Two")
    for number, model in enumerate((one, two, two)):
        CachedResponse.objects.create(
            team=team, key=f"{number}", language_model=model, result={"text": "x" * 990}, cost_nanousd=1
        )
    CachedResponse.objects.create(
        team=team, key="old", language_model=one, result={}, cost_nanousd=1, expires_at=timezone.now() - timedelta(1)
    )
    CachedResponse.objects.create(team=other_team, key="0", result={}, cost_nanousd=1)
    call(team, language_model=one)
    hit(team, one, 25 * CENT)
    page = Walker(alice)
    page.open(reverse("usage_cache", args=[team.slug]))
    for text in ("50.0\u00a0%", "$0.25", "3 answers, 3.0\u00a0kB of text", "30 days"):
        assert text.replace("\u00a0", " ") in page.text.replace("\u00a0", " ")

    page.press("Purge Two")
    assert "2 stored answers are deleted." in page.page.text_content()
    assert not CachedResponse.objects.filter(language_model=two).exists()
    page.press("Purge all answers")
    assert list(CachedResponse.objects.values_list("team", flat=True)) == [other_team.pk]
