"""Routes of datasets."""

from django.urls import path

from apps.experiments.views import dataset_versions, datasets, uploads

VERSION = "datasets/<uuid:uid>/v/<int:number>"

urlpatterns = [
    path("datasets/", datasets.dataset_list, name="datasets"),
    path("datasets/new/", uploads.dataset_new, name="dataset_new"),
    path("uploads/<uuid:uid>/", uploads.upload, name="upload"),
    path("imports/<uuid:uid>/", uploads.dataset_import, name="dataset_import"),
    path("imports/<uuid:uid>/accept/", uploads.dataset_import_accept, name="dataset_import_accept"),
    path("imports/<uuid:uid>/problems.csv", uploads.dataset_import_problems, name="dataset_import_problems"),
    path("datasets/<uuid:uid>/", datasets.dataset, name="dataset"),
    path("datasets/<uuid:uid>/settings/", datasets.dataset_settings, name="dataset_settings"),
    path("datasets/<uuid:uid>/delete/", datasets.dataset_delete, name="dataset_delete"),
    path(f"{VERSION}/", dataset_versions.dataset_version, name="dataset_version"),
    path(f"{VERSION}/figures/", dataset_versions.dataset_version_figures, name="dataset_version_figures"),
    path(f"{VERSION}/problems/", dataset_versions.dataset_version_problems, name="dataset_version_problems"),
    path(f"{VERSION}/about/", dataset_versions.dataset_version_about, name="dataset_version_about"),
    path(f"{VERSION}/derive/", dataset_versions.dataset_version_derive, name="dataset_version_derive"),
    path(f"{VERSION}/fresh-test/", dataset_versions.dataset_version_fresh_test, name="dataset_version_fresh_test"),
    *(
        path(f"{VERSION}/rows.{form}", dataset_versions.dataset_version_rows, {"form": form}, name=f"rows_{form}")
        for form in dataset_versions.FORMS
    ),
    path(f"{VERSION}/rows/<slug:row>/", dataset_versions.dataset_row, name="dataset_row"),
]
