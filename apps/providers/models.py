"""Anything that can generate, and the keys for what runs elsewhere."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from apps.core.encryption import SealedField
from apps.core.models import JobModel, ScopedModel

MOST_AT_ONCE = 256


class Provider(models.TextChoices):
    """Who answers. A model without one runs on this installation."""

    OPENAI = "openai", _("OpenAI")
    ANTHROPIC = "anthropic", _("Anthropic")
    COMPATIBLE = "compatible", _("OpenAI-compatible server")


class ProviderKey(ScopedModel):
    """A team's key for a provider, or the address of an OpenAI-compatible server with its key, if it has one.

    A key from the environment is a row without a secret: the team has taken up what the operator offers, and its
    limits, its checks and its models hang on this row.
    """

    class Source(models.TextChoices):
        ENTERED = "entered", _("Entered by the team")
        ENVIRONMENT = "environment", _("From the environment")

    class State(models.TextChoices):
        UNTESTED = "untested", _("Not tested yet")
        WORKING = "working", _("Working")
        FAILING = "failing", _("Failing")
        REVOKED = "revoked", _("Revoked")

    team = models.ForeignKey("accounts.Team", on_delete=models.PROTECT, related_name="provider_keys")
    provider = models.CharField(max_length=12, choices=Provider.choices)
    source = models.CharField(max_length=12, choices=Source.choices, default=Source.ENTERED)
    name = models.CharField(max_length=80)
    # Blank: the provider's own address.
    base_url = models.CharField(max_length=300, blank=True)
    secret = SealedField()
    last_four = models.CharField(max_length=4, blank=True)
    state = models.CharField(max_length=10, choices=State.choices, default=State.UNTESTED)
    checked_at = models.DateTimeField(null=True)
    # What the last check said was wrong; blank after one that went well.
    check_error = models.TextField(blank=True)
    # Calls under way at once with this key, and how many may begin in a minute; null: as many as the provider takes.
    max_concurrency = models.PositiveSmallIntegerField(default=16)
    requests_per_minute = models.PositiveIntegerField(null=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("provider key")
        ordering = ["provider", "name", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["team", "name"], condition=models.Q(revoked_at__isnull=True), name="provider_key_name"
            ),
            models.UniqueConstraint(
                fields=["team", "provider"],
                condition=models.Q(revoked_at__isnull=True, source="environment"),
                name="provider_key_environment_once",
            ),
            models.CheckConstraint(
                condition=~models.Q(source="environment") | models.Q(secret=""), name="provider_key_environment_unkept"
            ),
            models.CheckConstraint(
                condition=models.Q(provider="compatible") ^ models.Q(base_url=""), name="provider_key_address"
            ),
            models.CheckConstraint(
                condition=models.Q(max_concurrency__range=(1, MOST_AT_ONCE)), name="provider_key_at_once"
            ),
            models.CheckConstraint(
                condition=models.Q(requests_per_minute__isnull=True) | models.Q(requests_per_minute__gte=1),
                name="provider_key_per_minute",
            ),
            models.CheckConstraint(
                condition=models.Q(state="revoked", revoked_at__isnull=False, secret="")
                | (~models.Q(state="revoked") & models.Q(revoked_at__isnull=True)),
                name="provider_key_revoked",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def secret_context(self) -> str:
        """What the secret is sealed for: it cannot be read in another row."""
        return f"provider_key:{self.uid}"


class LanguageModel(ScopedModel):
    """A model that candidates can use. `facts` freezes what produced it; upward needs go through it."""

    class Kind(models.TextChoices):
        BASELINE = "baseline", _("Free baseline")
        LOCAL = "local", _("Local model")
        TRAINED = "trained", _("Trained here")
        COMMERCIAL = "commercial", _("Commercial model")

    class State(models.TextChoices):
        PLANNED = "planned", _("Planned")
        READY = "ready", _("Ready")
        FAILED = "failed", _("Failed")
        RETIRED = "retired", _("Retired")

    team = models.ForeignKey("accounts.Team", on_delete=models.PROTECT, related_name="language_models")
    name = models.CharField(max_length=160)
    kind = models.CharField(max_length=12, choices=Kind.choices)
    state = models.CharField(max_length=10, choices=State.choices, default=State.PLANNED)
    # Blank: runs here.
    provider = models.CharField(max_length=12, choices=Provider.choices, blank=True)
    # The key that its calls are made with; null or revoked: it needs one before it can answer.
    provider_key = models.ForeignKey(ProviderKey, on_delete=models.PROTECT, null=True, related_name="language_models")
    # What the provider calls it, such as gpt-5-mini.
    provider_model = models.CharField(max_length=160, blank=True)
    # From this day on the provider no longer answers; what it names instead stands in `replaced_by`.
    retires_on = models.DateField(null=True)
    replaced_by = models.CharField(max_length=160, blank=True)
    # What the serving side calls it: for the inference process a folder below artifacts/models.
    served_name = models.CharField(max_length=160)
    # Changes whenever the same name would answer differently: part of the response cache's key.
    revision = models.CharField(max_length=80, blank=True)
    # Storage name of a fitted baseline, or of the model's folder.
    artifact = models.CharField(max_length=300, blank=True)
    context_length = models.PositiveIntegerField(default=0)
    note = models.CharField(max_length=300, blank=True)
    error = models.TextField(blank=True)
    facts = models.JSONField(default=dict)

    class Meta:
        verbose_name = _("model")
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["team", "served_name"], name="language_model_served_name"),
            models.CheckConstraint(
                condition=(models.Q(kind="commercial") & ~models.Q(provider="") & ~models.Q(provider_model=""))
                | (~models.Q(kind="commercial") & models.Q(provider="", provider_model="", provider_key__isnull=True)),
                name="language_model_provider",
            ),
        ]

    def __str__(self) -> str:
        return self.name


# What one of `done` and `total` of a ModelFetch stands for.
UNIT_BYTES = 1000


class ModelFetch(JobModel):
    """Bringing one model in: downloaded, copied from a folder of this machine, or out of a file that was sent."""

    left_is_of_phase = True

    class Source(models.TextChoices):
        HUB = "hub", _("Download")
        FOLDER = "folder", _("Folder on this machine")
        UPLOAD = "upload", _("Upload")

    team = models.ForeignKey("accounts.Team", on_delete=models.PROTECT, related_name="model_fetches")
    # The planned model that this job makes ready.
    language_model = models.OneToOneField(LanguageModel, on_delete=models.PROTECT, related_name="fetch")
    source = models.CharField(max_length=8, choices=Source.choices)
    # repository@revision, the folder's path, or the stored name of what was sent.
    location = models.CharField(max_length=500)
    # What an adapter is added to, where a person has chosen it.
    base_model = models.ForeignKey(LanguageModel, on_delete=models.PROTECT, null=True, related_name="+")
    # Why it failed, in a word that the page of models asks for: `hub_unreachable` offers the folder.
    error_code = models.CharField(max_length=40, blank=True)
    host_pid = models.PositiveIntegerField(null=True)
    host_started_ticks = models.PositiveBigIntegerField(null=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")

    class Meta:
        verbose_name = _("model import")
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.language_model.name
