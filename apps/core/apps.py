from django.apps import AppConfig


class CoreConfig(AppConfig):
    name = "apps.core"
    label = "core"

    def ready(self) -> None:
        from django.core.checks import register

        from apps.core.encryption import keys_check

        register(keys_check)
