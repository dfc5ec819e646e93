"""Make a fictional team in one state, for photographs and browser tests. Embedded mode only."""

import json
import os
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.db import transaction
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from apps.accounts.services.people import sign_in_link_create
from apps.core.management.base import TranslatedCommand


class Command(TranslatedCommand):
    help = gettext_noop(
        "Make a fictional team that is empty, running, full or failed, and print its pages as JSON. A test tool."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--state", required=True, choices=["empty", "running", "full", "failed"])
        parser.add_argument("--base-url", default=f"http://127.0.0.1:{os.environ.get('LLMOPT_PORT', '8000')}")

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.EMBEDDED:
            raise CommandError(_("Fictional data belongs into no shared installation."))
        try:
            from apps.workspace.tests.look_people import people_of
            from apps.workspace.tests.look_world import make_look, pages_of
        except ImportError as error:
            raise CommandError(
                _("This test tool needs the tests of a source checkout: %(error)s") % {"error": error}
            ) from error
        with transaction.atomic():
            look = make_look(options["state"])
            people = [(look.owner, pages_of(look)), *((each.user, each.pages) for each in people_of(look))]
            base = options["base_url"].rstrip("/")
            answer = {
                "state": options["state"],
                "team": look.team.slug,
                "people": [
                    {
                        "email": user.email,
                        "login_url": base + reverse("sign_in_link", args=[sign_in_link_create(actor=None, user=user)]),
                        "pages": [{**page, "url": base + page["url"]} for page in pages],
                    }
                    for user, pages in people
                ],
            }
        self.stdout.write(json.dumps(answer))
