"""Routes of the pages of models, below /t/<team>/."""

from django.urls import path

from apps.training.model_pages import aliases, commercial, downloads, pages

urlpatterns = [
    path("models/", pages.model_list, name="models"),
    path("models/commercial/", commercial.model_commercial, name="model_commercial"),
    path("models/commercial/new/", commercial.model_commercial_new, name="model_commercial_new"),
    path("models/<uuid:uid>/", pages.model, name="model"),
    path("models/<uuid:uid>/overlap/", pages.model_overlap, name="model_overlap"),
    path("models/<uuid:uid>/alias/", aliases.model_alias, name="model_alias"),
    path("models/<uuid:uid>/alias/remove/", aliases.model_alias_off, name="model_alias_off"),
    path("models/<uuid:uid>/alias/roll-back/", aliases.model_alias_back, name="model_alias_back"),
    path("models/<uuid:uid>/adapter.zip", downloads.model_adapter, name="model_adapter"),
    path("models/<uuid:uid>/merged.zip", downloads.model_merged, name="model_merged"),
]
