"""Tasks of the queue that look after the books, and tell what they show."""

import logging

from django_q.tasks import async_task

from apps.billing import alert_sending
from apps.billing.selectors import books_problems
from apps.core.tasks import HOUSEKEEPING

log = logging.getLogger(__name__)

CHECK_TASK = "apps.billing.tasks.books_check"
ALERTS_TASK = "apps.billing.tasks.alerts_send"
_MOST_IN_LOG = 20


def books_check() -> int:
    """Log what does not hold in the audit trail and the ledger. Returns how many things that are."""
    problems = books_problems()
    if problems:
        log.critical("the books do not hold", extra={"count": len(problems), "problems": problems[:_MOST_IN_LOG]})
    return len(problems)


def books_check_send() -> None:
    """Housekeeping's part. The check reads everything, so a worker that does not tick makes it."""
    async_task(CHECK_TASK, cluster=HOUSEKEEPING)


def alerts_send() -> int:
    """Prepare new alerts and try what is due. Returns how many deliveries were tried."""
    return alert_sending.work().tried


def alerts_ask() -> None:
    """Housekeeping's part. A server that answers slowly must not hold up the ticks, so a worker sends."""
    if alert_sending.is_anything_due():
        async_task(ALERTS_TASK, cluster=HOUSEKEEPING)
