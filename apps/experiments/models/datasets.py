"""Datasets and their versions. Examples live in one Parquet file per version, never in rows."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from apps.core.models import ScopedModel
from apps.experiments.models.shares import SplitShares


class Dataset(SplitShares, ScopedModel):
    team = models.ForeignKey("accounts.Team", on_delete=models.PROTECT, related_name="datasets")
    name = models.CharField(max_length=160)
    description = models.TextField(blank=True)
    source = models.TextField(blank=True)
    licence = models.CharField(max_length=120, blank=True)
    # With the shares and the group key of a row this decides its split, in this and every later version.
    split_seed = models.PositiveBigIntegerField()
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")

    class Meta:
        verbose_name = _("dataset")
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["team", "name"], name="dataset_name")]

    def __str__(self) -> str:
        return self.name


class DatasetVersion(ScopedModel):
    team_path = "dataset__team"

    dataset = models.ForeignKey(Dataset, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    content_hash = models.CharField(max_length=64)
    artifact = models.CharField(max_length=300)
    train_count = models.PositiveIntegerField()
    validation_count = models.PositiveIntegerField()
    test_count = models.PositiveIntegerField()
    # The version that this one was derived from, if it was; how stands in `facts`.
    parent = models.ForeignKey("self", on_delete=models.PROTECT, null=True, related_name="derived")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    # What an answer is: {"format": "json", "fields": [...]}, {"format": "label", "labels": [...]}, {"format": "text"},
    # {"format": "number", "tolerance": 0.0}. It picks the metrics and the free baselines.
    answer = models.JSONField(default=dict)
    # Names of the columns that every row keeps beside its input: variables of prompts.
    columns = models.JSONField(default=list)
    # Rows read, kept, and left out with the reason; how splits were made.
    facts = models.JSONField(default=dict)

    class Meta:
        verbose_name = _("dataset version")
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(fields=["dataset", "number"], name="dataset_version_number"),
            models.UniqueConstraint(fields=["dataset", "content_hash"], name="dataset_version_content"),
        ]

    def __str__(self) -> str:
        return f"{self.dataset.name} v{self.number}"

    @property
    def row_count(self) -> int:
        return self.train_count + self.validation_count + self.test_count
