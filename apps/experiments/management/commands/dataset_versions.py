"""List a team's datasets and their versions."""

from typing import IO, Any, cast

from django.core.management.base import CommandError, CommandParser
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop
from rich.console import Console
from rich.table import Table

from apps.accounts.models import Team
from apps.core.management.base import TranslatedCommand
from apps.experiments.models import DatasetVersion


class Command(TranslatedCommand):
    help = gettext_noop("List the datasets of a team: versions, rows by split, content hash.")

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--team", required=True, help=_("the team's short name, as in its address"))

    def handle(self, *args: Any, **options: Any) -> None:
        team = Team.objects.filter(slug=options["team"]).first()
        if team is None:
            raise CommandError(_("There is no team %(slug)s.") % {"slug": options["team"]})
        table = Table(
            _("Dataset"), _("Version"), _("Train"), _("Validation"), _("Test"), _("Answer"), _("Content hash")
        )
        versions = DatasetVersion.objects.filter(dataset__team=team).select_related("dataset")
        for version in versions.order_by("dataset__name", "number"):
            counts = (version.train_count, version.validation_count, version.test_count)
            table.add_row(
                version.dataset.name,
                str(version.number),
                *(f"{count:,}" for count in counts),
                str(version.answer.get("format", "")),
                version.content_hash[:12],
            )
        Console(file=cast(IO[str], self.stdout)).print(table)
