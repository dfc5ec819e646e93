"""Routes of datasets."""

from django.urls import path

from apps.experiments.views import datasets, uploads

urlpatterns = [
    path("datasets/", datasets.dataset_list, name="datasets"),
    path("datasets/new/", uploads.dataset_new, name="dataset_new"),
    path("uploads/<uuid:uid>/", uploads.upload, name="upload"),
    path("imports/<uuid:uid>/", uploads.dataset_import, name="dataset_import"),
    path("imports/<uuid:uid>/accept/", uploads.dataset_import_accept, name="dataset_import_accept"),
    path("imports/<uuid:uid>/problems.csv", uploads.dataset_import_problems, name="dataset_import_problems"),
    path("datasets/<uuid:uid>/", datasets.dataset, name="dataset"),
    path("datasets/<uuid:uid>/v/<int:number>/", datasets.dataset_version, name="dataset_version"),
]
