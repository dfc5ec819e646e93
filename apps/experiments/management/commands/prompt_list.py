"""Print the prompts of a team: name, newest version, labels, where each is used."""

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from apps.accounts.selectors import team_called
from apps.core.management.base import TranslatedCommand
from apps.experiments.prompt_reading import prompts_in


class Command(TranslatedCommand):
    help = gettext_noop("Print the prompts of a team.")

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--team", required=True, help=_("the team's short name, as in its address"))

    def handle(self, *args: Any, **options: Any) -> None:
        team = team_called(options["team"])
        if team is None:
            raise CommandError(_("There is no team %(name)s.") % {"name": options["team"]})
        found = prompts_in(team=team)
        for prompt in found:
            labels = ", ".join(f"{label.name} → {label.version.number}" for label in prompt.labels.all())
            facts = {"name": prompt.name, "number": prompt.newest or "–", "labels": labels or "–"}
            facts["experiments"] = prompt.experiment_count
            self.stdout.write(
                _("%(name)s   version %(number)s   labels: %(labels)s   experiments: %(experiments)s") % facts
            )
        if not found:
            self.stdout.write(_("This team has no prompt yet. Add one with: manage.py prompt_add"))
