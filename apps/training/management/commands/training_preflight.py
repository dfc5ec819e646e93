"""Host one attempt of a preflight."""

import sys
from typing import Any

from django.core.management.base import CommandParser
from django.utils.translation import gettext_noop

from apps.core.management.base import TranslatedCommand
from apps.training.preflight_host import preflight_run


class Command(TranslatedCommand):
    help = gettext_noop("Measure what a training run would take. Started by the queue, not by hand.")

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("preflight", type=int)
        parser.add_argument("--attempt", type=int, required=True)
        parser.add_argument("--claim", required=True)

    def handle(self, *args: Any, **options: Any) -> None:
        sys.exit(preflight_run(options["preflight"], attempt=options["attempt"], claim=options["claim"]))
