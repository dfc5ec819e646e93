"""Routes of this app below /t/<team>/. Pages of experiments show figures and live in apps.evaluation."""

from apps.experiments.urls import datasets

urlpatterns = [*datasets.urlpatterns]
