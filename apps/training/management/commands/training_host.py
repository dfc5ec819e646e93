"""Host one attempt of a training run."""

import sys
from typing import Any

from django.core.management.base import CommandParser
from django.utils.translation import gettext_noop

from apps.core.management.base import TranslatedCommand
from apps.training.host import host_run


class Command(TranslatedCommand):
    help = gettext_noop("Host one attempt of a training run. Started by the queue, not by hand.")

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("run", type=int)
        parser.add_argument("--attempt", type=int, required=True)
        parser.add_argument("--claim", required=True)

    def handle(self, *args: Any, **options: Any) -> None:
        sys.exit(host_run(options["run"], attempt=options["attempt"], claim=options["claim"]))
