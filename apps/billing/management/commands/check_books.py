"""Check the books: `manage.py check_books`."""

from typing import Any

from django.core.management.base import CommandError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop, ngettext

from apps.billing.selectors import books_problems
from apps.core.management.base import TranslatedCommand


class Command(TranslatedCommand):
    help = gettext_noop("Check that the audit trail and the ledger hold, and say where they do not.")

    def handle(self, *args: Any, **options: Any) -> None:
        problems = books_problems()
        for problem in problems:
            self.stderr.write(problem)
        if problems:
            said = ngettext("%(n)d thing does not hold.", "%(n)d things do not hold.", len(problems))
            raise CommandError(said % {"n": len(problems)})
        self.stdout.write(_("The audit trail and the ledger hold."))
