"""Ask training hosts to save and stop."""

import time
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from apps.core.processes.tree import process_key
from apps.training.launch import hosts_ask_to_stop


class Command(BaseCommand):
    help = "Ask every training host of this machine to save and stop, and wait for them. Runs go on at the next start."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--wait", type=float, default=30.0, help="seconds to wait")

    def handle(self, *args: Any, **options: Any) -> None:
        pids = hosts_ask_to_stop()
        deadline = time.monotonic() + options["wait"]
        # An ended host that nobody has waited for still has its pid: in a container without init, for ever.
        while any(process_key(pid) for pid in pids) and time.monotonic() < deadline:
            time.sleep(0.2)
        left = [pid for pid in pids if process_key(pid)]
        self.stdout.write(f"training hosts asked to stop: {len(pids)}, still running: {len(left)}")
