"""Routes of datasets and prompts below /api/v1/."""

from django.urls import path

from apps.experiments.api import datasets, prompts, uploads

urlpatterns = [
    path("datasets", uploads.DatasetsView.as_view(), name="api_datasets"),
    path("datasets/<uuid:uid>", datasets.dataset, name="api_dataset"),
    path("datasets/<uuid:uid>/versions/<int:number>", datasets.dataset_version, name="api_dataset_version"),
    path("datasets/<uuid:uid>/versions/<int:number>/rows", datasets.dataset_rows, name="api_dataset_rows"),
    path("datasets/<uuid:uid>/versions/<int:number>/derive", datasets.derive, name="api_dataset_derive"),
    path("datasets/<uuid:uid>/versions/<int:number>/fresh-test", datasets.fresh_test, name="api_dataset_fresh_test"),
    path("uploads/<uuid:uid>", uploads.upload, name="api_upload"),
    path("uploads/<uuid:uid>/import", uploads.upload_import, name="api_upload_import"),
    path("imports/<uuid:uid>", uploads.dataset_import, name="api_import"),
    path("imports/<uuid:uid>/accept", uploads.import_accept, name="api_import_accept"),
    path("prompts", prompts.prompts, name="api_prompts"),
    path("prompts/<uuid:uid>", prompts.prompt, name="api_prompt"),
    path("prompts/<uuid:uid>/labels/<str:label>", prompts.prompt_label, name="api_prompt_label"),
    path("prompts/<uuid:uid>/versions", prompts.prompt_versions, name="api_prompt_versions"),
]
