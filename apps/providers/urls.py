"""Routes of models, below /t/<team>/."""

from django.urls import path

from apps.providers import views

urlpatterns = [
    path("models/", views.model_list, name="models"),
    path("models/<uuid:uid>/", views.model, name="model"),
]
