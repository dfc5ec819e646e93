"""Print a one-time sign-in link, on the machine that LLMOpt runs on."""

import os
from typing import Any
from urllib.parse import quote

from django.core.management.base import CommandError, CommandParser
from django.db import OperationalError, ProgrammingError
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from apps.accounts.selectors import default_login_user, user_by_email
from apps.accounts.services.people import sign_in_link_create
from apps.core.errors import ApplicationError
from apps.core.management.base import TranslatedCommand
from apps.core.processes.supervisor import is_running, read_state


class Command(TranslatedCommand):
    help = gettext_noop("Print a sign-in link that works once within 15 minutes (embedded mode only).")

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--email", help=_("whose link; default: the owner of the oldest team"))
        parser.add_argument("--next", default="", help=_("local path to open after signing in, such as /t/demo/"))
        parser.add_argument("--host", help=_("default: where the running server listens"))
        parser.add_argument("--port", help=_("default: where the running server listens"))

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            user = user_by_email(options["email"]) if options["email"] else default_login_user()
        except (OperationalError, ProgrammingError) as error:
            raise CommandError(
                _("The database is missing or not set up yet (%(error)s). First: make run") % {"error": error}
            ) from error
        if user is None:
            raise CommandError(
                _("Nobody has an account under this e-mail address.")
                if options["email"]
                else _("There is no team yet.")
            )
        if options["next"] and not options["next"].startswith("/"):
            raise CommandError(_("--next is a local path and begins with /."))
        try:
            token = sign_in_link_create(actor=None, user=user)
        except ApplicationError as error:
            raise CommandError(error.message) from error
        suffix = f"?next={quote(options['next'])}" if options["next"] else ""
        path = reverse("sign_in_link", args=[token])
        running = read_state() if is_running() else None
        if running is None and not options["port"]:
            self.stderr.write(_("LLMOpt does not run here: the link works once it does. Start it with: make run"))
        host = options["host"] or (running.host if running else "127.0.0.1")
        port = options["port"] or (running.port if running else os.environ.get("LLMOPT_PORT", "8000"))
        self.stdout.write(f"http://{host}:{port}{path}{suffix}")
