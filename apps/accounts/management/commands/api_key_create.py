"""Make an API key on the machine that LLMOpt runs on."""

from datetime import timedelta
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from apps.accounts.forms import KEY_DAYS
from apps.accounts.selectors import default_login_user, team_called, user_by_email
from apps.accounts.services.keys import api_key_create
from apps.core.errors import ApplicationError
from apps.core.management.base import TranslatedCommand
from apps.core.scopes import KeyScope


class Command(TranslatedCommand):
    help = gettext_noop("Print a new API key of a team. It is shown only this once.")

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--team", required=True, help=_("the team's short name, as in its address"))
        parser.add_argument("--name", required=True, help=_("what uses the key, such as nightly report"))
        parser.add_argument("--email", help=_("whose key; default: the owner of the oldest team"))
        parser.add_argument(
            "--scope", action="append", choices=KeyScope.values, help=_("may be repeated; default: generate and read")
        )
        parser.add_argument("--days", type=int, default=KEY_DAYS, help=_("how long it is good; 0: until it is revoked"))

    def handle(self, *args: Any, **options: Any) -> None:
        team = team_called(options["team"])
        if team is None:
            raise CommandError(_("There is no team %(name)s.") % {"name": options["team"]})
        person = user_by_email(options["email"]) if options["email"] else default_login_user()
        if person is None:
            raise CommandError(_("Nobody has an account under this e-mail address."))
        if not 0 <= options["days"] <= 100_000:
            raise CommandError(_("--days is a number from 0 to 100000."))
        try:
            made = api_key_create(
                actor=None,
                person=person,
                team=team,
                name=options["name"],
                scopes=options["scope"] or [KeyScope.GENERATE, KeyScope.READ],
                expires_at=timezone.now() + timedelta(days=options["days"]) if options["days"] else None,
            )
        except ApplicationError as error:
            raise CommandError(error.message) from error
        self.stdout.write(made.text)
