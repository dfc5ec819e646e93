"""Routes of this app below /t/<team>/. Pages of experiments show figures and live in apps.evaluation."""

from apps.experiments.urls import datasets, prompts

urlpatterns = [*datasets.urlpatterns, *prompts.urlpatterns]
