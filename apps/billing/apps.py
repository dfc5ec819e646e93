from django.apps import AppConfig


class BillingConfig(AppConfig):
    name = "apps.billing"
    label = "billing"

    def ready(self) -> None:
        from apps.core.housekeeping import register_housekeeping

        register_housekeeping("reservations", "apps.billing.services.reservations_sweep")
        register_housekeeping("books", "apps.billing.tasks.books_check_send", every_seconds=3600.0)
        register_housekeeping("alerts", "apps.billing.tasks.alerts_ask", every_seconds=4.0)
