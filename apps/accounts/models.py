"""People, teams, and one-time sign-in links."""

import zoneinfo
from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from apps.core.models import ScopedManager, ScopedModel, uid_field
from apps.core.roles import Role


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "User":
        return self.create_user(email, password, **{"is_staff": True, "is_superuser": True, **fields})

    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(email__iexact=username)


class User(AbstractBaseUser, PermissionsMixin):
    uid = uid_field()
    email = models.EmailField(_("e-mail address"), unique=True)
    name = models.CharField(_("name"), max_length=120, blank=True)
    is_active = models.BooleanField(_("active"), default=True)
    is_staff = models.BooleanField(_("operator"), default=False, help_text=_("May use the admin pages."))
    created_at = models.DateTimeField(auto_now_add=True)

    # The facts of the API key (apps.accounts.keys.KeyFacts) that a request came with. Reads are then kept to its team,
    # an operator is nobody special, and audit events name the key.
    through_key: ClassVar[Any] = None

    # A person belongs to no one team; events about the account itself stand in the chain without a team.
    owning_team_id: ClassVar[None] = None

    objects = UserManager()
    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        verbose_name = _("user")
        constraints = [models.UniqueConstraint(Lower("email"), name="user_email_unique_ci")]

    def __str__(self) -> str:
        return self.name or self.email


def validate_time_zone(value: str) -> None:
    if value not in zoneinfo.available_timezones():
        raise ValidationError(
            _("%(value)s is not the name of a time zone, such as Europe/Berlin."), params={"value": value}
        )


class Team(models.Model):
    team_path = ""

    uid = uid_field()
    name = models.CharField(_("name"), max_length=120)
    slug = models.SlugField(unique=True)
    time_zone = models.CharField(_("time zone"), max_length=64, default="UTC", validators=[validate_time_zone])
    # Whether models that send text to another company may be used.
    text_may_leave = models.BooleanField(_("text may be sent to other companies"), default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ScopedManager()

    class Meta:
        verbose_name = _("team")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def owning_team_id(self) -> int:
        return self.pk


class Membership(ScopedModel):
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(_("role"), max_length=10, choices=Role.choices)

    class Meta:
        verbose_name = _("membership")
        constraints = [models.UniqueConstraint(fields=["team", "user"], name="membership_unique")]

    def __str__(self) -> str:
        return f"{self.user} ({self.get_role_display()})"


class SignInLink(models.Model):
    """A link that signs one person in once. Only the hash of its token is stored."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="sign_in_links")
    token_hash = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("sign-in link")

    def __str__(self) -> str:
        return f"link for {self.user}"


class APIKey(ScopedModel):
    """A key that we issue: a program acts with it in one team, as one person, within the scopes.

    Only a plain SHA-256 of it is kept: a slow hash protects words that people choose and others can guess, and this is
    256 random bits. It would only make each request slower.
    """

    person_id: int
    team_id: int
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="api_keys")
    # What was spent and done with a key points at its person, who is switched off and never deleted.
    person = models.ForeignKey(User, on_delete=models.PROTECT, related_name="api_keys")
    name = models.CharField(_("name"), max_length=80)
    # The beginning of the key, which is shown and by which it is looked up; the secret comes after it.
    prefix = models.CharField(max_length=20, unique=True, editable=False)
    key_hash = models.CharField(max_length=64, editable=False)
    last_four = models.CharField(max_length=4, editable=False)
    # Values of apps.core.scopes.KeyScope.
    scopes = models.JSONField(default=list)
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True)
    last_used_at = models.DateTimeField(_("last used"), null=True, editable=False)
    revoked_at = models.DateTimeField(_("revoked"), null=True, editable=False)
    created_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")

    class Meta:
        verbose_name = _("API key")
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.name

    @property
    def state(self) -> str:
        """A key of the states (apps.core.templatetags.ui_states): active, expired or revoked."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= timezone.now() else "active"


class APIKeyUse(models.Model):
    """That a key was used from an address within an hour: the row makes its audit event one event."""

    key = models.ForeignKey(APIKey, on_delete=models.CASCADE, related_name="uses")
    address = models.CharField(max_length=45)
    hour = models.DateTimeField()

    class Meta:
        verbose_name = _("use of an API key")
        verbose_name_plural = _("uses of API keys")
        constraints = [models.UniqueConstraint(fields=["key", "address", "hour"], name="api_key_use_once")]

    def __str__(self) -> str:
        return f"{self.key} from {self.address}"


class TokenFamily(models.Model):
    """A program that a person signed in with a password: the refresh token that it holds now, and its end.

    Each refresh replaces the token. One that comes a second time has been copied, which ends the family.
    """

    user_id: int
    uid = uid_field()
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="token_families")
    created_at = models.DateTimeField(auto_now_add=True)
    # The `jti` of the refresh token that is good now.
    current = models.CharField(max_length=32)
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("signed-in program")

    def __str__(self) -> str:
        return f"program of {self.user}"
