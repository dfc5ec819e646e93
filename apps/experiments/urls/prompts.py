"""Routes of prompts."""

from django.urls import path

from apps.experiments.views import prompt_editor, prompts

urlpatterns = [
    path("prompts/", prompts.prompt_list, name="prompts"),
    path("prompts/new/", prompt_editor.prompt_new, name="prompt_new"),
    path("prompts/<uuid:uid>/", prompts.prompt, name="prompt"),
    path("prompts/<uuid:uid>/v/<int:number>/", prompts.prompt_version, name="prompt_version"),
    path("prompts/<uuid:uid>/diff/", prompts.prompt_diff, name="prompt_diff"),
    path("prompts/<uuid:uid>/edit/", prompt_editor.prompt_edit, name="prompt_edit"),
    path("prompts/<uuid:uid>/settings/", prompts.prompt_settings, name="prompt_settings"),
    path("prompts/<uuid:uid>/labels/", prompts.prompt_label_set, name="prompt_label_set"),
    path("prompts/<uuid:uid>/labels/remove/", prompts.prompt_label_remove, name="prompt_label_remove"),
    path("prompts/<uuid:uid>/delete/", prompts.prompt_delete, name="prompt_delete"),
]
