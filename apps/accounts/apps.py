from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "apps.accounts"
    label = "accounts"

    def ready(self) -> None:
        from apps.core.housekeeping import DAY_SECONDS, register_housekeeping

        services = "apps.accounts.services"
        for what, dotted in (
            ("uses of API keys", f"{services}.keys.api_key_uses_forget"),
            ("signed-in programs", f"{services}.tokens.token_families_forget"),
            ("sign-in links", f"{services}.people.sign_in_links_forget"),
        ):
            register_housekeeping(what, dotted, every_seconds=DAY_SECONDS)
