"""How many of a dataset's rows go where."""

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.translation import gettext as _

from apps.core.errors import ApplicationError

LEAST_PERCENT, MOST_PERCENT = 5, 45
DEFAULT_PERCENT = 15
_BOUNDS = [MinValueValidator(LEAST_PERCENT), MaxValueValidator(MOST_PERCENT)]


class SplitShares(models.Model):
    """The shares of groups that go to validation and to test, in percent; training gets what is left, a tenth at least.

    With the split seed they decide every row's split, so they never change.
    """

    validation_percent = models.PositiveSmallIntegerField(default=DEFAULT_PERCENT, validators=_BOUNDS)
    test_percent = models.PositiveSmallIntegerField(default=DEFAULT_PERCENT, validators=_BOUNDS)

    class Meta:
        abstract = True

    @property
    def train_percent(self) -> int:
        return 100 - self.validation_percent - self.test_percent

    @property
    def probabilities(self) -> tuple[float, float, float]:
        """Of train, validation and test, as apps.experiments.engine.splits asks for them."""
        return self.train_percent / 100, self.validation_percent / 100, self.test_percent / 100

    def check_shares(self) -> None:
        """ApplicationError, with the field, when a share is out of bounds."""
        for field in ("validation_percent", "test_percent"):
            if not LEAST_PERCENT <= getattr(self, field) <= MOST_PERCENT:
                raise ApplicationError(
                    _("Give each of validation and test between %(least)d and %(most)d percent of the rows.")
                    % {"least": LEAST_PERCENT, "most": MOST_PERCENT},
                    field=field,
                )
