"""Routes of datasets."""

from django.urls import path

from apps.experiments.views import datasets

urlpatterns = [
    path("datasets/", datasets.dataset_list, name="datasets"),
    path("datasets/<uuid:uid>/", datasets.dataset, name="dataset"),
    path("datasets/<uuid:uid>/v/<int:number>/", datasets.dataset_version, name="dataset_version"),
]
