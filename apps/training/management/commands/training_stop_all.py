"""Ask training hosts to save and stop."""

import time
from typing import Any

from django.core.management.base import CommandParser
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from apps.core.management.base import TranslatedCommand
from apps.core.processes.tree import process_key
from apps.training.launch import hosts_ask_to_stop


class Command(TranslatedCommand):
    help = gettext_noop(
        "Ask every training host of this machine to save and stop, and wait for them. Runs go on at the next start."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--wait", type=float, default=30.0, help=_("seconds to wait"))

    def handle(self, *args: Any, **options: Any) -> None:
        hosts = hosts_ask_to_stop()
        deadline = time.monotonic() + options["wait"]
        # An ended host that nobody has waited for still has its pid: in a container without init, for ever.
        while any(process_key(host.pid) == host for host in hosts) and time.monotonic() < deadline:
            time.sleep(0.2)
        left = [host for host in hosts if process_key(host.pid) == host]
        self.stdout.write(
            _("training hosts asked to stop: %(asked)d, still running: %(left)d")
            % {"asked": len(hosts), "left": len(left)}
        )
