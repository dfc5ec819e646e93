"""What people, and programs on their behalf, think of what models answered."""

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from apps.core.models import ScopedModel

_NO_RATING = Q(rating=None, scale_low=None, scale_high=None)
_NO_THUMB = Q(thumb_up=None)
_NO_CHOICE = Q(other=None, preferred=None)
# A comparison with NULL refuses nothing, so that what has to be there is asked for by itself.
_RATING = Q(kind="rating", rating__isnull=False, scale_low__isnull=False, scale_high__isnull=False) & Q(
    rating__gte=F("scale_low"), rating__lte=F("scale_high"), scale_low__lt=F("scale_high")
)
_THUMB = Q(kind="thumb", thumb_up__isnull=False)
_CHOICE = Q(kind="choice", other__isnull=False, other__gt=F("generation")) & (
    Q(preferred=None) | Q(preferred=F("generation")) | Q(preferred=F("other"))
)


class Feedback(ScopedModel):
    """What one giver said of one generation, or of two beside each other. Said again, it changes; withdrawn, it is
    gone; the audit trail keeps what it was.

    The giver is an API key where one was used, else the person; a key's feedback names its person too.
    """

    class Kind(models.TextChoices):
        RATING = "rating", _("Rating")
        THUMB = "thumb", _("Thumb")
        CHOICE = "choice", _("Choice between two")

    team = models.ForeignKey("accounts.Team", on_delete=models.PROTECT, related_name="feedback")
    kind = models.CharField(max_length=8, choices=Kind.choices)
    generation = models.ForeignKey("billing.LedgerEntry", on_delete=models.PROTECT, related_name="feedback")
    rating = models.SmallIntegerField(null=True)
    scale_low = models.SmallIntegerField(null=True)
    scale_high = models.SmallIntegerField(null=True)
    thumb_up = models.BooleanField(null=True)
    # Of two generations, `generation` is the one that was booked first: a pair is one pair in either order.
    other = models.ForeignKey("billing.LedgerEntry", on_delete=models.PROTECT, null=True, related_name="+")
    # One of the two; null for a tie.
    preferred = models.ForeignKey("billing.LedgerEntry", on_delete=models.PROTECT, null=True, related_name="+")
    comment = models.TextField(blank=True)
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="feedback")
    api_key = models.ForeignKey("accounts.APIKey", on_delete=models.PROTECT, null=True, related_name="feedback")
    # When it was said as it stands.
    given_at = models.DateTimeField()

    class Meta:
        verbose_name = _("feedback")
        verbose_name_plural = _("feedback")
        ordering = ["-id"]
        indexes = [models.Index(fields=["team", "given_at"], name="feedback_of_day")]
        constraints = [
            models.UniqueConstraint(
                fields=["person", "kind", "generation"],
                condition=Q(api_key=None, other=None),
                name="feedback_once_by_person",
            ),
            models.UniqueConstraint(
                fields=["api_key", "kind", "generation"],
                condition=Q(api_key__isnull=False, other=None),
                name="feedback_once_by_key",
            ),
            models.UniqueConstraint(
                fields=["person", "generation", "other"],
                condition=Q(api_key=None, other__isnull=False),
                name="feedback_pair_once_by_person",
            ),
            models.UniqueConstraint(
                fields=["api_key", "generation", "other"],
                condition=Q(api_key__isnull=False, other__isnull=False),
                name="feedback_pair_once_by_key",
            ),
            models.CheckConstraint(
                condition=(
                    _RATING & _NO_THUMB & _NO_CHOICE
                    | _THUMB & _NO_RATING & _NO_CHOICE
                    | _CHOICE & _NO_RATING & _NO_THUMB
                ),
                name="feedback_says_one_thing",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.generation_id}"
