"""Routes of this app below /t/<team>/: one list of routes per kind of page."""

from apps.experiments.urls import datasets, experiments

urlpatterns = [*datasets.urlpatterns, *experiments.urlpatterns]
