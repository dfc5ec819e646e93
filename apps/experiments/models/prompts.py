"""Prompts, their immutable versions and the labels that point at them."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from apps.core.models import ScopedModel


class Prompt(ScopedModel):
    team = models.ForeignKey("accounts.Team", on_delete=models.PROTECT, related_name="prompts")
    name = models.CharField(max_length=160)
    description = models.TextField(blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")

    class Meta:
        verbose_name = _("prompt")
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["team", "name"], name="prompt_name")]

    def __str__(self) -> str:
        return self.name


class PromptVersion(ScopedModel):
    team_path = "prompt__team"

    prompt = models.ForeignKey(Prompt, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    # [{"role": ..., "content": Jinja template}]; demonstrations are [{"id", "input", "expected"}] from train only.
    messages = models.JSONField()
    demonstrations = models.JSONField(default=list)
    note = models.CharField(max_length=300, blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    content_hash = models.CharField(max_length=64)

    class Meta:
        verbose_name = _("prompt version")
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(fields=["prompt", "number"], name="prompt_version_number"),
            models.UniqueConstraint(fields=["prompt", "content_hash"], name="prompt_version_content"),
        ]

    def __str__(self) -> str:
        return f"{self.prompt.name} v{self.number}"


class PromptLabel(ScopedModel):
    """A name that points at one version of a prompt, such as `production`. It moves; versions do not."""

    team_path = "prompt__team"

    prompt = models.ForeignKey(Prompt, on_delete=models.PROTECT, related_name="labels")
    name = models.CharField(max_length=40)
    version = models.ForeignKey(PromptVersion, on_delete=models.PROTECT, related_name="labels")

    class Meta:
        verbose_name = _("prompt label")
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["prompt", "name"], name="prompt_label_once")]

    def __str__(self) -> str:
        return self.name
