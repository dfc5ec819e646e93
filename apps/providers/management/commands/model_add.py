"""Add a model from a folder, in this process."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from apps.accounts.models import Team
from apps.core import jobs
from apps.core.errors import ApplicationError
from apps.core.management.base import TranslatedCommand
from apps.providers.host import host_run
from apps.providers.models import LanguageModel, ModelFetch
from apps.providers.services.fetches import model_folder_add


class Command(TranslatedCommand):
    help = gettext_noop("Add a base model or a PEFT adapter from a folder of safetensors on this machine.")

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", type=Path)
        parser.add_argument("--team", required=True)
        parser.add_argument("--name", default="")
        parser.add_argument("--base", default="", help=_("the base of an adapter, as it is served"))

    def handle(self, *args: Any, **options: Any) -> None:
        team = Team.objects.filter(slug=options["team"]).first()
        if team is None:
            raise CommandError(_("There is no team %(slug)s.") % {"slug": options["team"]})
        folder = options["folder"].resolve()
        # Whoever can start this command can read the folder anyway.
        settings.MODEL_FOLDERS = [*settings.MODEL_FOLDERS, str(folder)]
        try:
            fetch = model_folder_add(
                actor=None, team=team, folder=str(folder), name=options["name"], base_model=_base(team, options["base"])
            )
        except ApplicationError as error:
            raise CommandError(error.message) from error
        self._wait(fetch)

    def _wait(self, fetch: ModelFetch) -> None:
        """Do the work here, unless a worker of the product has taken it meanwhile."""
        claimed = jobs.claim(ModelFetch, fetch.pk)
        if claimed is None:
            self.stdout.write(_("A worker adds the model; its page shows how far it is."))
            return
        host_run(claimed.pk, claim=claimed.claim)
        claimed.refresh_from_db()
        model = LanguageModel.objects.get(pk=claimed.language_model_id)
        if model.state != LanguageModel.State.READY:
            raise CommandError(f"{claimed.error} {claimed.error_kept} {claimed.error_next}")
        self.stdout.write(
            _("%(name)s is ready: served as %(served)s by %(backend)s.")
            % {"name": model.name, "served": model.served_name, "backend": model.facts["backend"]}
        )


def _base(team: Team, served_name: str) -> LanguageModel | None:
    if not served_name:
        return None
    base = LanguageModel.objects.filter(team=team, served_name=served_name).first()
    if base is None:
        raise CommandError(_("This team has no model that is served as %(name)s.") % {"name": served_name})
    return base
