"""Run one queue cluster: `manage.py worker --cluster worker`."""

import sys
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from apps.core.management.base import TranslatedCommand
from apps.core.processes.cluster import cluster_names, run_cluster
from apps.core.processes.environment import restart_with
from apps.core.tasks import HOUSEKEEPING, schedules_ensure


class Command(TranslatedCommand):
    help = gettext_noop("Run one queue cluster. Its processes end with it.")
    requires_system_checks: list[str] = []  # noqa: RUF012  # Django's own declaration; checks would import every page

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--cluster", required=True, help=_("Name of a queue in the settings."))

    def handle(self, *args: Any, cluster: str, **options: Any) -> None:
        if cluster not in cluster_names():
            names = ", ".join(cluster_names())
            raise CommandError(
                _("There is no queue %(name)s; there are: %(names)s.") % {"name": cluster, "names": names}
            )
        restart_with(Q_CLUSTER_NAME=cluster, LLMOPT_ROLE="worker")
        if cluster == HOUSEKEEPING:
            schedules_ensure()
        sys.exit(run_cluster(cluster))
