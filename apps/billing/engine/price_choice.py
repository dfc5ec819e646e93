"""Which of several dated prices holds for a model: the one rule, for a call and for a list of models."""

from collections.abc import Iterable
from datetime import datetime
from typing import Protocol, TypeVar

PER_HOUR = "compute_hour"
PER_TOKEN = "token"  # noqa: S105 - a unit, not a secret
# The name of a price that holds for everything which runs on the team's own machine and has no price of its own.
ANY_LOCAL_MODEL = "*"


class DatedPrice(Protocol):
    """A price from a moment on. Without a team (None) it is for every team."""

    @property
    def id(self) -> int: ...
    @property
    def team_id(self) -> int | None: ...
    @property
    def served_name(self) -> str: ...
    @property
    def valid_from(self) -> datetime: ...
    @property
    def unit(self) -> str: ...
    @property
    def nanousd_per_hour(self) -> int | None: ...
    @property
    def rates(self) -> object: ...


P = TypeVar("P", bound=DatedPrice)


def price_that_holds(
    rows: Iterable[P], *, served_name: str, runs_here: bool, at_provider: bool, at: datetime
) -> P | None:
    """The price of these that holds for a model at a moment: one for this very model before that of all local ones, the
    team's own before one for every team, the latest before earlier ones, and of one moment that set last.

    `rows` are of one team or of none. `runs_here`: the price of all local models counts. `at_provider`: what its
    provider publishes is looked up anew each time, so a row for every team only tells what some call was paid by. A row
    without an amount is no price.
    """
    names = (served_name, ANY_LOCAL_MODEL) if runs_here else (served_name,)
    fitting = (
        row
        for row in rows
        if row.served_name in names
        and row.valid_from <= at
        and not (at_provider and row.team_id is None)
        and (row.rates if row.unit == PER_TOKEN else row.nanousd_per_hour) is not None
    )
    return max(
        fitting,
        key=lambda row: (row.served_name == served_name, row.team_id is not None, row.valid_from, row.id),
        default=None,
    )
