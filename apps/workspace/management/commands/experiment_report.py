"""The report of a finished experiment, printed or written to a file."""

import json
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.management.base import CommandError, CommandParser
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from apps.core.errors import ApplicationError
from apps.core.management.base import TranslatedCommand
from apps.evaluation.report_markdown import report_markdown
from apps.evaluation.selectors import report_document
from apps.experiments.models import Experiment


class Command(TranslatedCommand):
    help = gettext_noop("Print the report of a finished experiment, as Markdown or as the JSON document.")

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("experiment", type=UUID, help=_("its uid, as in its address"))
        parser.add_argument("--format", choices=["md", "json"], default="md")
        parser.add_argument("--output", type=Path, help=_("write it to this file instead"))

    def handle(self, *args: Any, **options: Any) -> None:
        found = Experiment.objects.filter(uid=options["experiment"]).first()
        if found is None:
            raise CommandError(_("There is no experiment %(uid)s.") % {"uid": options["experiment"]})
        try:
            document = report_document(found)
        except ApplicationError as error:
            raise CommandError(error.message) from error
        if options["format"] == "json":
            text = json.dumps(document, ensure_ascii=False, indent=2, sort_keys=True) + "\n"
        else:
            text = report_markdown(found)
        if options["output"] is None:
            self.stdout.write(text, ending="")
            return
        try:
            options["output"].write_text(text, encoding="utf-8")
        except OSError as error:
            raise CommandError(
                _("%(path)s cannot be written: %(error)s") % {"path": options["output"], "error": error}
            ) from error
        self.stdout.write(_("Written: %(path)s") % {"path": options["output"]})
