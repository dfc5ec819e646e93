"""Routes of provider keys and of adding models, below /t/<team>/. The pages of models show figures and prices, so
apps/training serves them.
"""

from django.urls import path

from apps.providers.views import keys, models

urlpatterns = [
    path("models/add/", models.model_add, name="model_add"),
    path("models/download/", models.model_download, name="model_download"),
    path("models/on-disk/", models.model_on_disk, name="model_on_disk"),
    path("settings/providers/", keys.provider_keys, name="provider_keys"),
    path("settings/providers/environment/", keys.take_up, name="provider_key_take_up"),
    path("settings/providers/text/", keys.text_may_leave, name="text_may_leave"),
    path("settings/providers/<uuid:uid>/", keys.provider_key, name="provider_key"),
    path("settings/providers/<uuid:uid>/replace/", keys.replace, name="provider_key_replace"),
    path("settings/providers/<uuid:uid>/limits/", keys.limits, name="provider_key_limits"),
    path("settings/providers/<uuid:uid>/revoke/", keys.revoke, name="provider_key_revoke"),
]
