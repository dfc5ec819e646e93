"""List a team's experiments."""

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from apps.core.errors import ApplicationError
from apps.core.management.base import TranslatedCommand
from apps.experiments.selectors import experiments
from apps.training.commandline import acting_owner


class Command(TranslatedCommand):
    help = gettext_noop("List the experiments of a team: state, candidates, conclusion, uid.")

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--team", required=True, help=_("the team's short name, as in its address"))

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            actor, team = acting_owner(options["team"])
        except ApplicationError as error:
            raise CommandError(error.message) from error
        for found in experiments(user=actor, team=team).order_by("-id"):
            facts = {
                "uid": found.uid,
                "name": found.name,
                "number": found.version_number,
                "state": found.get_state_display(),
                "count": found.candidates.filter(trial=False).count(),
                "conclusion": found.conclusion_text or "–",
            }
            self.stdout.write(
                _("%(uid)s  %(name)s, version %(number)s  %(state)s  candidates: %(count)s  %(conclusion)s") % facts
            )
