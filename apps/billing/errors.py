"""Expected failures of spending."""

from apps.billing.engine.ledger import Refused
from apps.core.errors import ApplicationError


class BudgetExceeded(ApplicationError):
    """A budget has no room for a call. `refused` says which one, what is spent and held, and what was needed."""

    code = "budget_exceeded"
    status = 402

    def __init__(self, message: str, *, refused: Refused) -> None:
        super().__init__(message)
        self.refused = refused


class UnknownPrice(ApplicationError):
    """A model without a price is not called: its cost would be booked as zero."""

    code = "unknown_price"
    status = 409


class CallPostponed(ApplicationError):
    """The caller's time ended while a call waited for its next attempt. Nothing is held or stored; call again later."""

    code = "call_postponed"
    status = 503


class TextMayNotLeave(ApplicationError):
    """The team forbids models that send its text to another company."""

    code = "text_may_not_leave"
    status = 403
