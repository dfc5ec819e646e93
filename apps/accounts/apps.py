from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "apps.accounts"
    label = "accounts"

    def ready(self) -> None:
        from apps.core.housekeeping import DAY_SECONDS, register_housekeeping

        keys = "apps.accounts.services.keys.api_key_uses_forget"
        register_housekeeping("uses of API keys", keys, every_seconds=DAY_SECONDS)
        register_housekeeping(
            "sign-in links", "apps.accounts.services.people.sign_in_links_forget", every_seconds=DAY_SECONDS
        )
