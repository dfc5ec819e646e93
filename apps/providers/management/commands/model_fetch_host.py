"""Bring one model in."""

import sys
from typing import Any

from django.core.management.base import CommandParser
from django.utils.translation import gettext_noop

from apps.core.management.base import TranslatedCommand
from apps.providers.host import host_run


class Command(TranslatedCommand):
    help = gettext_noop("Bring one model in. Started by the queue, not by hand.")

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("fetch", type=int)
        parser.add_argument("--claim", required=True)

    def handle(self, *args: Any, **options: Any) -> None:
        sys.exit(host_run(options["fetch"], claim=options["claim"]))
