from collections.abc import Mapping

from django.apps import AppConfig
from django.utils.functional import Promise


class WorkspaceConfig(AppConfig):
    name = "apps.workspace"
    label = "workspace"

    def ready(self) -> None:
        from apps.core.jobs import JobKind, register

        register(
            JobKind(
                model="workspace.ExperimentRun",
                task="apps.workspace.tasks.experiment_run_advance",
                max_attempts=50,
                phases=_phases,
            )
        )


def _phases() -> Mapping[str, str | Promise]:
    from apps.workspace.quickstart.steps import PHASES

    return PHASES
