"""The one rule for the price that holds, and that the database leaves out only rows that cannot win."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import pytest
from django.utils import timezone

from apps.accounts.models import Team
from apps.billing import selectors
from apps.billing.engine.price_choice import PER_HOUR, PER_TOKEN, price_that_holds
from apps.billing.models import Price
from apps.core.tests.factories import PriceFactory

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Row:
    id: int
    team_id: int | None = 7
    served_name: str = "*"
    valid_from: datetime = NOON
    unit: str = PER_HOUR
    nanousd_per_hour: int | None = 5
    rates: Any = None


# Each goes before all that follow.
IN_ORDER = (
    Row(1, served_name="small", valid_from=NOON),
    Row(2, served_name="small", valid_from=NOON - timedelta(days=2)),
    Row(9, served_name="small", team_id=None),
    Row(4, valid_from=NOON),
    Row(3, valid_from=NOON),
    Row(8, valid_from=NOON - timedelta(days=1)),
    Row(7, team_id=None),
)
NO_PRICES = (
    Row(20, served_name="small", valid_from=NOON + timedelta(hours=1)),
    Row(21, served_name="small", nanousd_per_hour=None, rates={"input": [1, []]}),
    Row(22, served_name="small", unit=PER_TOKEN),
    Row(23, served_name="other"),
)


def holds(rows: Any, *, runs_here: bool = True, at_provider: bool = False) -> Row | None:
    return price_that_holds(rows, served_name="small", runs_here=runs_here, at_provider=at_provider, at=NOON)


def test_a_price_goes_before_those_that_say_less_of_the_model_are_for_more_teams_or_are_older() -> None:
    for place, row in enumerate(IN_ORDER):
        for rows in permutations((row, *IN_ORDER[place + 1 : place + 3])):
            assert holds((*NO_PRICES, *rows)) == row
    assert holds(reversed(IN_ORDER)) == IN_ORDER[0]
    assert holds(NO_PRICES) is None


def test_a_model_that_runs_elsewhere_has_prices_of_its_own_name_and_of_its_team() -> None:
    assert holds(IN_ORDER[3:], runs_here=False) is None
    assert holds(IN_ORDER[2:], at_provider=False, runs_here=False) == IN_ORDER[2]
    assert holds(IN_ORDER[2:], at_provider=True, runs_here=False) is None
    tokens = replace(IN_ORDER[0], unit=PER_TOKEN, nanousd_per_hour=None, rates={"input": [1, []]})
    assert holds([tokens], at_provider=True, runs_here=False) == tokens


@pytest.mark.django_db
@pytest.mark.both_databases
def test_the_database_hands_out_few_rows_and_the_one_that_holds(
    team: Team, other_team: Team, django_assert_num_queries: Any
) -> None:
    now = timezone.now()
    of = {7: team, None: None}
    for row in (*IN_ORDER, *NO_PRICES):
        PriceFactory.create(
            team=of[row.team_id],
            served_name=row.served_name,
            unit=row.unit,
            nanousd_per_hour=row.nanousd_per_hour,
            rates=row.rates,
            valid_from=now + (row.valid_from - NOON),
        )
    PriceFactory.create(team=other_team, served_name="small")
    kinds = {"kind": "local", "served_name": "small"}
    left = list(Price.objects.filter(team=team) | Price.objects.filter(team=None))
    while left:
        expected = price_that_holds(left, served_name="small", runs_here=True, at_provider=False, at=timezone.now())
        if expected is None:
            break
        with django_assert_num_queries(1):
            assert selectors.price_for(team.pk, **kinds) == expected
        candidates = selectors.price_candidates(team.pk, ["small", "*"], timezone.now())
        assert len(candidates) <= 4
        expected.delete()
        left.remove(expected)
    assert {row.served_name for row in left} == {"small", "other"}
