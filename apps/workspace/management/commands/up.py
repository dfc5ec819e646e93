"""Start everything and run the quickstart: what `make run` calls."""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError, CommandParser
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop
from rich.console import Console

from apps.accounts.services.people import sign_in_link_create
from apps.core.jobs import ENDED
from apps.core.management.base import TranslatedCommand
from apps.core.models import JobStatus
from apps.core.processes import supervisor
from apps.evaluation.selectors import report_document
from apps.workspace.demo import demo_team_ensure
from apps.workspace.models import ExperimentRun
from apps.workspace.quickstart.definition import COMMITTED, read_definition
from apps.workspace.quickstart.service import experiment_run_start
from apps.workspace.terminal.console import terminal_console
from apps.workspace.terminal.following import follow, is_paused
from apps.workspace.terminal.report import print_report

EXPERIMENT_WAIT_SECONDS = 20.0


class Command(TranslatedCommand):
    help = gettext_noop(
        "Migrate, start every process, run the quickstart, show it. HEADLESS=1 ends with it; REPORT=path writes it."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=int(os.environ.get("LLMOPT_PORT", "8000")))
        parser.add_argument("--reload", action="store_true", help=_("restart the web process when code changes"))
        parser.add_argument("--definition", type=Path, default=COMMITTED, help=_("another quickstart definition"))
        parser.add_argument("--second-seed", action="store_true", help=_("use the definition's second split seed"))
        parser.add_argument("--no-quickstart", action="store_true", help=_("start the processes only"))

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.EMBEDDED:
            raise CommandError(
                _(
                    "This starts an embedded installation. With DATABASE_URL set, start the processes yourself:"
                    ' "Several machines" in docs/operations.md.'
                )
            )
        _check_report_path()
        _check_var_dir()
        headless = os.environ.get("HEADLESS", "") not in {"", "0"}
        console = terminal_console()
        stopped = _stopped_by_signals()
        call_command("migrate", verbosity=0, interactive=False)
        team, user = demo_team_ensure()
        try:
            state = supervisor.start(port=options["port"], host=options["host"], reload=options["reload"])
        except (supervisor.AlreadyRunning, supervisor.StartFailed) as error:
            raise CommandError(str(error)) from None
        try:
            supervisor.wait_ready(state, wanted=lambda: not stopped.is_set())
            quickstart = None
            if not options["no_quickstart"]:
                definition = read_definition(options["definition"], second_seed=options["second_seed"])
                quickstart = experiment_run_start(actor=user, team=team, definition=definition)
            page = _page(team, quickstart, stopped)
            link = _link(state.url, user, page)
            said = _("Open this page (the link works once, for 15 minutes): %(link)s") % {"link": link}
            console.print(said, soft_wrap=True, highlight=False)
            succeeded = quickstart is None or _follow(quickstart, console, stopped, headless=headless)
            if not headless and not stopped.is_set():
                _stay(console, stopped, _link(state.url, user, page))
            console.print(_("Stopping; a training that runs saves first."), highlight=False)
        except supervisor.StartFailed as error:
            raise CommandError(str(error)) from None
        finally:
            leftovers = supervisor.stop()
        for command in leftovers:
            console.print(_("Ended a process that was left: %(command)s") % {"command": command}, highlight=False)
        if not succeeded or leftovers:
            sys.exit(1)


def _stopped_by_signals() -> threading.Event:
    """Set by Ctrl-C, a kill or a closed terminal, from now on: everything then ends in order."""
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_args: stopped.set())
    return stopped


def _page(team: Any, quickstart: ExperimentRun | None, stopped: threading.Event) -> str:
    """The experiment's page, which exists a few seconds after the start; the team's home until then."""
    deadline = time.monotonic() + EXPERIMENT_WAIT_SECONDS
    while quickstart is not None and quickstart.experiment is None and time.monotonic() < deadline:
        if stopped.wait(0.2):
            break
        quickstart = ExperimentRun.objects.select_related("experiment").get(pk=quickstart.pk)
    if quickstart is None or quickstart.experiment is None:
        return reverse("home", kwargs={"team": team.slug})
    return reverse("experiment", kwargs={"team": team.slug, "uid": quickstart.experiment.uid})


def _check_report_path() -> None:
    """Said now, not after the work."""
    path = os.environ.get("REPORT")
    if not path:
        return
    folder = Path(path).resolve().parent
    if not folder.is_dir():
        raise CommandError(_("REPORT=%(path)s: there is no folder %(folder)s.") % {"path": path, "folder": folder})
    if Path(path).is_dir():
        raise CommandError(_("REPORT=%(path)s is a folder: name a file in it.") % {"path": path})
    if not os.access(folder, os.W_OK):
        raise CommandError(
            _("REPORT=%(path)s: nothing can be written to the folder %(folder)s.") % {"path": path, "folder": folder}
        )


def _check_var_dir() -> None:
    """In words: the database and the processes would say it with a traceback."""
    here = supervisor.places()
    try:
        for folder in (here.run, here.logs):
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandError(
            _("%(path)s cannot be made: %(reason)s. Mend that, or set LLMOPT_VAR_DIR to another folder for data.")
            % {"path": error.filename, "reason": error.strerror}
        ) from None
    for path in (here.var_dir, here.run, here.logs, here.var_dir / "llmopt.sqlite3"):
        if path.exists() and not os.access(path, os.W_OK):
            raise CommandError(
                _(
                    "%(path)s cannot be written by this account; a start with sudo leaves such files. Give it back with"
                    " sudo chown -R, or set LLMOPT_VAR_DIR to another folder for data."
                )
                % {"path": path}
            )


def _link(url: str, user: Any, page: str) -> str:
    token = sign_in_link_create(actor=None, user=user)
    return f"{url}{reverse('sign_in_link', kwargs={'token': token})}?next={page}"


def _follow(quickstart: ExperimentRun, console: Console, stopped: threading.Event, *, headless: bool) -> bool:
    """Show the job until it ends; print and write its report. False unless it truly succeeded."""

    def still_wanted() -> bool:
        return supervisor.daemon_alive() and not stopped.is_set() and not supervisor.given_up()

    # Where somebody looks at a page, a paused job is waited for: it can be resumed there.
    ended = follow(quickstart, console=console, still_wanted=still_wanted, until_paused=headless)
    if ended.status != JobStatus.SUCCEEDED or ended.experiment is None:
        console.print(_why_without_report(ended), style="red")
        return False
    report = report_document(ended.experiment)
    print_report(report, console)
    path = os.environ.get("REPORT")
    if path:
        partial = Path(f"{path}.partial")
        partial.write_text(json.dumps(report, ensure_ascii=False, indent=1, allow_nan=False), encoding="utf-8")
        partial.replace(path)
        console.print(_("Report written to %(path)s") % {"path": path}, highlight=False)
    return True


def _why_without_report(quickstart: ExperimentRun) -> str:
    """Why the wait ended, and what to do."""
    given_up = supervisor.given_up()
    if quickstart.status not in ENDED and given_up:
        return _("Ended again and again, and not started any more: %(programs)s. The logs are in %(logs)s") % {
            "programs": ", ".join(given_up),
            "logs": supervisor.places().logs,
        }
    if quickstart.status not in ENDED and is_paused(quickstart):
        return _("The quickstart was paused; the same command goes on from here.")
    sentence = quickstart.error or _("The quickstart was interrupted; the same command goes on from here.")
    return " ".join(part for part in (sentence, quickstart.error_kept, quickstart.error_next) if part)


def _stay(console: Console, stopped: threading.Event, link: str) -> None:
    """Keep the product running until Ctrl-C. The link is the last line of the terminal."""
    console.print(
        _("Running. Ctrl-C stops everything; training saves and goes on at the next start. A new link: make login"),
        highlight=False,
    )
    console.print(link, soft_wrap=True, highlight=False)
    while not stopped.wait(0.5) and supervisor.daemon_alive():
        pass
