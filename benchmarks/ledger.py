"""Holding and settling money for a call, against two bare updates in one transaction on the same database.

A call is two transactions: its money must be held before it leaves, and a crash in between must not lose that.
"""

import json
import os
import subprocess
import sys
from datetime import timedelta
from typing import Any

from benchmarks import databases, figures, machine
from benchmarks.figures import Pair

CALLS = 200
WORKER = "--worker"


def main() -> None:
    options = figures.options(__doc__)
    options.add_argument(WORKER, action="store_true", help="measure in the database of DATABASE_URL and print JSON")
    given = options.parse_args()
    if given.worker:
        print(json.dumps([[pair.ours, pair.peer] for pair in _measure(given.repeats)]))
        return
    for name, database in (("SQLite", databases.sqlite), ("PostgreSQL", databases.postgresql)):
        with database() as environment:
            command = [sys.executable, "-m", "benchmarks.ledger", WORKER, "--repeats", str(given.repeats)]
            done = subprocess.run(command, cwd=machine.ROOT, env=environment, check=True, stdout=subprocess.PIPE)
        pairs = [Pair(*values) for values in json.loads(done.stdout)]
        figures.show(
            f"ledger on {name}, one process", pairs, unit="per second",
            ours="calls reserved and settled", peer="transactions of two bare updates",
        )  # fmt: skip


def _measure(repeats: int) -> list[Pair]:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llmopt.settings.dev")
    import django

    django.setup()
    hold = _hold()
    _calls(hold, 10)
    return figures.repeated(lambda: Pair(_calls(hold, CALLS), _floor(CALLS)), repeats)


def _hold() -> Any:
    """One call of a local model by the demo team, inside its budget."""
    from django.utils import timezone

    from apps.billing.engine.ledger import Hold
    from apps.billing.models import Price
    from apps.providers.services import language_model_create
    from apps.workspace.demo import demo_team_ensure

    team, owner = demo_team_ensure()
    model = language_model_create(actor=owner, team=team, name="Measured", kind="local", served_name="measured")
    price = Price.objects.get(served_name="*")
    later = timezone.now() + timedelta(hours=1)
    return Hold(team.pk, None, model.pk, price.pk, purpose="benchmark", attempt=1, amount_nanousd=100, expires_at=later)


def _calls(hold: Any, count: int) -> float:
    """Calls per second."""
    from apps.billing import ledger_runner
    from apps.billing.engine.ledger import Reserved, Spent

    def work() -> None:
        for _ in range(count):
            reserved = ledger_runner.reserve(hold)
            assert isinstance(reserved, Reserved)
            ledger_runner.settle(reserved.reservation_id, Spent(70, 60, 40, compute_seconds=0.1))

    return count / figures.seconds_of(work)


def _floor(count: int) -> float:
    """Transactions per second that do no more than change the two counters of a budget period."""
    from django.db import connection, transaction

    def work() -> None:
        for _ in range(count):
            with transaction.atomic(durable=True), connection.cursor() as cursor:
                cursor.execute("UPDATE billing_budgetperiod SET held_nanousd = held_nanousd + 0")
                cursor.execute("UPDATE billing_budgetperiod SET spent_nanousd = spent_nanousd + 0")

    return count / figures.seconds_of(work)


if __name__ == "__main__":
    main()
