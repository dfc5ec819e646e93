"""Routes of this app below /t/<team>/."""

from django.urls import path

from apps.training import views

urlpatterns = [path("training/<uuid:uid>/", views.training_run, name="training_run")]
