"""Routes of adding models, below /t/<team>/. The pages of models show figures, so apps/training serves them."""

from django.urls import path

from apps.providers import views

urlpatterns = [
    path("models/add/", views.model_add, name="model_add"),
    path("models/download/", views.model_download, name="model_download"),
    path("models/on-disk/", views.model_on_disk, name="model_on_disk"),
]
