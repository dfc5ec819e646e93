"""The price that holds for a call: read, and remembered for a short while by processes that call often."""

import time
from dataclasses import dataclass
from threading import Lock

from apps.accounts.models import Team
from apps.billing import pricing, selectors
from apps.billing.calls import MeteredCall
from apps.billing.models import Price

# A price that is set, or begins to hold, is seen by every process within this; by the one where it is set, at once.
FRESH_SECONDS = 5.0
MOST_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class KnownPrice:
    """A price row, which never changes, and the time zone of the team whose calls it is for."""

    price: Price
    time_zone: str
    until: float


_known: dict[tuple[int, int], KnownPrice] = {}
_lock = Lock()


def price_of_call(call: MeteredCall) -> Price:
    """The price that holds now. UnknownPrice."""
    model = call.language_model
    return selectors.price_for(
        call.team_id,
        kind=model.kind,
        served_name=model.served_name,
        provider=model.provider,
        provider_model=model.provider_model,
    )


def known(call: MeteredCall) -> KnownPrice | None:
    """What was read lately, without asking the database."""
    found = _known.get((call.team_id, call.language_model.id))
    return found if found is not None and time.monotonic() < found.until else None


def read(call: MeteredCall) -> KnownPrice:
    """The price as a stored row, read and remembered. UnknownPrice."""
    until = time.monotonic() + FRESH_SECONDS
    time_zone = Team.objects.values_list("time_zone", flat=True).get(pk=call.team_id)
    found = KnownPrice(pricing.stored(price_of_call(call)), time_zone, until)
    with _lock:
        if len(_known) >= MOST_REMEMBERED:
            _known.clear()
        _known[call.team_id, call.language_model.id] = found
    return found


def forget_prices() -> None:
    """Read every price anew."""
    with _lock:
        _known.clear()
