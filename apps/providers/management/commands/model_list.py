"""The models of a team, and what it can add."""

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from apps.accounts.models import Team
from apps.core.formats import size_text
from apps.core.management.base import TranslatedCommand
from apps.providers.entries import ModelEntry, known_entries, known_names, model_entry
from apps.providers.models import LanguageModel


class Command(TranslatedCommand):
    help = gettext_noop("List the models of a team with their states, and the models that it can add.")

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--team", required=True)

    def handle(self, *args: Any, **options: Any) -> None:
        team = Team.objects.filter(slug=options["team"]).first()
        if team is None:
            raise CommandError(_("There is no team %(slug)s.") % {"slug": options["team"]})
        models = list(LanguageModel.objects.filter(team=team).select_related("fetch"))
        own = [model_entry(model, team=team) for model in models if model.served_name not in known_names()]
        for entry in [*own, *known_entries(team=team, models=models)]:
            self.stdout.write("\t".join(_line(entry)))


def _line(entry: ModelEntry) -> list[str]:
    state = entry.state_label or entry.state
    fix = f"{state}: {entry.fix.label}" if entry.fix is not None else state
    return [entry.name, fix, entry.where, size_text(entry.memory_bytes), entry.detail]
