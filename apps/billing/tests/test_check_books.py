"""The books are checked by a command, and every hour by housekeeping."""

import io
import logging

import pytest
from django.core.management import CommandError, call_command
from django_q.models import OrmQ

from apps.accounts.models import Team
from apps.billing import tasks
from apps.billing.models import BudgetPeriod
from apps.core import audit, housekeeping
from apps.core.models import AuditEvent
from apps.core.tests.factories import BudgetFactory

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both_databases]


@pytest.fixture
def books(team: Team) -> BudgetPeriod:
    """A sealed event and a counter, both as they should be."""
    audit.record(actor=None, verb="thing.done", target=team)
    audit.seal_pending()
    period: BudgetPeriod = BudgetFactory.create(team=team).periods.create(key="total", limit_nanousd=5)
    return period


def falsify() -> None:
    AuditEvent.objects.update(actor_label="mallory@example.com")
    BudgetPeriod.objects.update(spent_nanousd=1)


def test_the_command_says_that_all_is_well(books: BudgetPeriod) -> None:
    said = io.StringIO()
    call_command("check_books", stdout=said)
    assert said.getvalue() == "The audit trail and the ledger hold.\n"


def test_the_command_names_what_does_not_hold_and_fails(books: BudgetPeriod) -> None:
    falsify()
    said = io.StringIO()
    with pytest.raises(CommandError, match="2 things do not hold"):
        call_command("check_books", stderr=said)
    assert "the audit trail of team addresses does not hold at event 1" in said.getvalue()
    assert f"budget period {books.pk} (total) shows 1 spent" in said.getvalue()


def test_housekeeping_has_them_checked_and_the_log_says_what_does_not_hold(
    books: BudgetPeriod, caplog: pytest.LogCaptureFixture
) -> None:
    assert housekeeping.registered()["books"] == "apps.billing.tasks.books_check_send"
    tasks.books_check_send()
    assert OrmQ.objects.get().func() == tasks.CHECK_TASK
    with caplog.at_level(logging.INFO):
        assert tasks.books_check() == 0
        assert caplog.records == []
        falsify()
        assert tasks.books_check() == 2
    (record,) = caplog.records
    assert record.levelno == logging.CRITICAL
    assert "does not hold at event 1" in str(vars(record)["problems"])
