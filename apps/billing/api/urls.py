"""Routes of money in the REST API."""

from django.urls import path

from apps.billing.api import alerts, budgets, generate, prices, usage

urlpatterns = [
    path("alerts", alerts.alerts, name="api_alerts"),
    path("alert-destinations", alerts.alert_destinations, name="api_alert_destinations"),
    path("alert-destinations/<uuid:uid>", alerts.alert_destination, name="api_alert_destination"),
    path("budgets", budgets.budgets, name="api_budgets"),
    path("budgets/<uuid:uid>", budgets.budget, name="api_budget"),
    path("generate", generate.generate, name="api_generate"),
    path("local-prices", prices.local_prices, name="api_local_prices"),
    path("models/<uuid:uid>/prices", prices.model_prices, name="api_model_prices"),
    path("usage", usage.usage, name="api_usage"),
]
