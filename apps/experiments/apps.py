from collections.abc import Mapping

from django.apps import AppConfig
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


class ExperimentsConfig(AppConfig):
    name = "apps.experiments"
    label = "experiments"

    def ready(self) -> None:
        from apps.core.housekeeping import DAY_SECONDS, register_housekeeping
        from apps.core.jobs import JobKind, register

        register(
            JobKind(
                model="experiments.Upload",
                task="apps.experiments.tasks.upload_inspect",
                max_attempts=3,
                phases=lambda: UPLOAD_PHASES,
            )
        )
        register(
            JobKind(
                model="experiments.DatasetImport",
                task="apps.experiments.tasks.dataset_import_stage",
                max_attempts=3,
                phases=lambda: IMPORT_PHASES,
            )
        )
        register_housekeeping("uploads", "apps.core.uploads.quarantine.forget_old", every_seconds=DAY_SECONDS / 24)


UPLOAD_PHASES: Mapping[str, str | Promise] = {
    "type": _("Looking at what kind of file it is"),
    "scan": _("Scanning for viruses"),
    "inspect": _("Reading the rows"),
}
IMPORT_PHASES: Mapping[str, str | Promise] = {
    "stage": _("Checking every row"),
}
