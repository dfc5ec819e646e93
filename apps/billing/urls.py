"""Routes of calling a model by hand, below /t/<team>/."""

from django.urls import path

from apps.billing import views

urlpatterns = [path("models/<uuid:uid>/try/", views.model_try, name="model_try")]
