"""Ask training hosts to save and stop."""

import time
from typing import Any

import psutil
from django.core.management.base import BaseCommand, CommandParser

from apps.training.launch import hosts_ask_to_stop


class Command(BaseCommand):
    help = "Ask every training host of this machine to save and stop, and wait for them. Runs go on at the next start."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--wait", type=float, default=30.0, help="seconds to wait")

    def handle(self, *args: Any, **options: Any) -> None:
        pids = hosts_ask_to_stop()
        deadline = time.monotonic() + options["wait"]
        while any(psutil.pid_exists(pid) for pid in pids) and time.monotonic() < deadline:
            time.sleep(0.2)
        left = [pid for pid in pids if psutil.pid_exists(pid)]
        self.stdout.write(f"training hosts asked to stop: {len(pids)}, still running: {len(left)}")
