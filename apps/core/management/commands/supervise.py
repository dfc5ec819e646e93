"""Start every process of an embedded installation and stay until it is stopped."""

import signal
import sys
import threading
from types import FrameType
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from apps.core.formats import number_text
from apps.core.management.base import TranslatedCommand
from apps.core.processes import supervisor


class Command(TranslatedCommand):
    help = gettext_noop("Start web, queue clusters, inference and watchdog; Ctrl-C stops them all.")
    requires_system_checks: list[str] = []  # noqa: RUF012  # Django's own declaration; checks would import every page

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8000)
        parser.add_argument("--stop", action="store_true", help=_("Stop what another terminal started."))
        parser.add_argument("--status", action="store_true", help=_("Show each program's state."))

    def handle(self, *args: Any, host: str, port: int, stop: bool, status: bool, **options: Any) -> None:
        if status:
            for program in supervisor.status():
                self.stdout.write(f"{program.name:14} {program.state:10} pid {program.pid:<8} {program.description}")
            return
        if stop:
            supervisor.stop()
            return
        self._run(host, port)

    def _run(self, host: str, port: int) -> None:
        ended = threading.Event()

        def end(number: int, frame: FrameType | None) -> None:
            ended.set()

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, end)
        try:
            state = supervisor.start(port=port, host=host)
        except (supervisor.AlreadyRunning, supervisor.StartFailed) as error:
            raise CommandError(str(error)) from None
        try:
            seconds = supervisor.wait_ready(state, wanted=lambda: not ended.is_set())
            self.stdout.write(
                _("Ready at %(url)s after %(seconds)s s") % {"url": state.url, "seconds": number_text(seconds, 1)}
            )
            while not ended.wait(0.5) and supervisor.daemon_alive():
                pass
        except supervisor.StartFailed as error:
            raise CommandError(str(error)) from None
        finally:
            leftovers = supervisor.stop()
            for command in leftovers:
                self.stderr.write(_("Ended a process that was left: %(command)s") % {"command": command})
        if not ended.is_set():
            sys.exit(1)
