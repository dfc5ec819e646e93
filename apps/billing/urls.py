"""Routes of spending: budgets, what was spent, and calling a model by hand; below /t/<team>/."""

from django.urls import path

from apps.billing.views import budgets, trying

urlpatterns = [
    path("models/<uuid:uid>/try/", trying.model_try, name="model_try"),
    path("settings/budgets/", budgets.budgets, name="budgets"),
    path("settings/budgets/<uuid:uid>/", budgets.budget, name="budget"),
    path("settings/budgets/<uuid:uid>/close/", budgets.budget_close, name="budget_close"),
]
