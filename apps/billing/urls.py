"""Routes of spending: budgets, what was spent, and calling a model by hand; below /t/<team>/."""

from django.urls import path

from apps.billing.views import alerts, budgets, cache, key_tests, prices, trying, unknown, usage

urlpatterns = [
    path("models/<uuid:uid>/try/", trying.model_try, name="model_try"),
    path("models/<uuid:uid>/price/", prices.model_price, name="model_price"),
    path("settings/providers/<uuid:uid>/test/", key_tests.key_test, name="provider_key_test"),
    path("settings/budgets/", budgets.budgets, name="budgets"),
    path("settings/budgets/<uuid:uid>/", budgets.budget, name="budget"),
    path("settings/budgets/<uuid:uid>/close/", budgets.budget_close, name="budget_close"),
    path("settings/alerts/", alerts.alerts, name="alerts"),
    path("settings/alerts/<uuid:uid>/test/", alerts.alert_test, name="alert_test"),
    path("settings/alerts/<uuid:uid>/remove/", alerts.alert_remove, name="alert_remove"),
    path("usage/", usage.usage, name="usage"),
    path("usage/usage.csv", usage.usage_csv, name="usage_csv"),
    path("usage/unknown/", unknown.unknown, name="usage_unknown"),
    path("usage/unknown/<uuid:uid>/", unknown.unknown_attempt, name="usage_unknown_attempt"),
    path("usage/local-price/", prices.local_price, name="local_price"),
    path("usage/cache/", cache.cache, name="usage_cache"),
    path("usage/cache/purge/", cache.cache_purge, name="usage_cache_purge"),
]
