from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "apps.accounts"
    label = "accounts"

    def ready(self) -> None:
        from apps.core.housekeeping import DAY_SECONDS, register_housekeeping

        register_housekeeping("sign-in links", "apps.accounts.services.sign_in_links_forget", every_seconds=DAY_SECONDS)
