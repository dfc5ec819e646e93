"""Files on their way into a dataset."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from apps.core.models import JobModel
from apps.experiments.engine.intake.problems import OFFERED_FIXES
from apps.experiments.models.shares import SplitShares


def every_fix() -> list[str]:
    return list(OFFERED_FIXES)


class Upload(JobModel):
    """A file that somebody sent. Its job looks at it, out of reach of everything else, until it is known harmless.

    The file lies in quarantine under `stored_name`, whatever it was called. `inspection` says what it holds: format,
    encoding, columns, first rows, problems. A refused file is a failed job whose error is the reason.
    """

    left_is_of_phase = True

    team = models.ForeignKey("accounts.Team", on_delete=models.PROTECT, related_name="uploads")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    # As the sender called it, for people to read; no path is ever made from it.
    name = models.CharField(max_length=200)
    stored_name = models.CharField(max_length=80, unique=True)
    size_bytes = models.PositiveBigIntegerField()
    sha256 = models.CharField(max_length=64)
    inspection = models.JSONField(default=dict)

    class Meta:
        verbose_name = _("upload")
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.name

    @property
    def ended_for_good(self) -> bool:
        """A refused file is deleted."""
        return "refused" in self.inspection


class DatasetImport(SplitShares, JobModel):
    """An upload on its way to a dataset version: mapped, checked row by row, and kept apart until somebody accepts it.

    The job stages a version; `report` counts the rows that it accepts, fixes and leaves out, and why. Accepting it
    makes `dataset_version` from what is staged.
    """

    left_is_of_phase = True

    team = models.ForeignKey("accounts.Team", on_delete=models.PROTECT, related_name="dataset_imports")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    upload = models.ForeignKey(Upload, on_delete=models.PROTECT, related_name="imports")
    # The dataset that gets a new version; null makes a new dataset called `name`.
    dataset = models.ForeignKey("experiments.Dataset", on_delete=models.PROTECT, null=True, related_name="imports")
    name = models.CharField(max_length=160)
    # {"shape": "columns" | "chat", "input": name, "expected": name, "group": name or "", "keep": [names]}
    mapping = models.JSONField(default=dict)
    # As DatasetVersion.answer.
    answer = models.JSONField(default=dict)
    # Safe fixes that the person who mapped the file accepts, by the codes of problems.KINDS; what another fix would
    # have mended is left out.
    fixes = models.JSONField(default=every_fix)
    split_seed = models.PositiveBigIntegerField()
    report = models.JSONField(default=dict)
    # Folder of what is staged, below the artifacts; empty until the job has ended well.
    staged = models.CharField(max_length=300, blank=True)
    dataset_version = models.OneToOneField(
        "experiments.DatasetVersion", on_delete=models.PROTECT, null=True, related_name="made_by_import"
    )

    class Meta:
        verbose_name = _("dataset import")
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.name
