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


_READING: Mapping[str, str | Promise] = {
    "reading": _("Reading the rows"),
    "comparing": _("Comparing rows that are almost the same"),
    "counting": _("Measuring lengths"),
    "writing": _("Writing the rows down"),
}
UPLOAD_PHASES: Mapping[str, str | Promise] = {
    "type": _("Looking at what kind of file it is"),
    "scan": _("Scanning for viruses"),
    **_READING,
}
IMPORT_PHASES: Mapping[str, str | Promise] = {"answers": _("Looking at what an answer is"), **_READING}
