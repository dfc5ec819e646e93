from django.apps import AppConfig


class WorkspaceConfig(AppConfig):
    name = "apps.workspace"
    label = "workspace"

    def ready(self) -> None:
        from apps.core.jobs import JobKind, register

        register(JobKind(model="workspace.Quickstart", task="apps.workspace.tasks.quickstart_advance", max_attempts=50))
