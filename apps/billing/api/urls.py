"""Routes of money in the REST API."""

from django.urls import path

from apps.billing.api import budgets, generate, usage

urlpatterns = [
    path("budgets", budgets.budgets, name="api_budgets"),
    path("budgets/<uuid:uid>", budgets.budget, name="api_budget"),
    path("generate", generate.generate, name="api_generate"),
    path("usage", usage.usage, name="api_usage"),
]
