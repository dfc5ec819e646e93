"""Changes to people, teams and sign-in links: permission, change and audit event in one transaction."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.utils import timezone
from django.utils.text import slugify
from django.utils.translation import gettext as _

from apps.accounts.models import Membership, SignInLink, Team, User, validate_time_zone
from apps.accounts.selectors import link_owner, user_by_email
from apps.accounts.services.keys import api_keys_of_member_revoke
from apps.accounts.services.tokens import token_families_revoke
from apps.core import audit
from apps.core.access import require
from apps.core.errors import ApplicationError, Conflict, NotAllowed
from apps.core.roles import Role
from apps.core.unique import taken_first

LINK_LIFETIME = timedelta(minutes=15)
KEEP_LINKS = timedelta(days=30)


@dataclass(frozen=True)
class MemberAdded:
    """A new membership and, for a person whose account was made by this, the token of a one-time link."""

    membership: Membership
    link_token: str | None


def team_create(
    *, actor: User | None, name: str, owner: User | None = None, slug: str = "", time_zone: str = "UTC"
) -> Team:
    """Create a team with its first owner: `owner`, or the one who asks."""
    owner = owner or actor
    if owner is None:
        raise ApplicationError(_("A team needs an owner."), field="owner")
    name = _clean_name(name)
    _check(validate_time_zone, time_zone, field="time_zone")
    with transaction.atomic():
        team = _team_with_free_slug(name, wanted=slug or name, time_zone=time_zone)
        Membership.objects.create(team=team, user=owner, role=Role.OWNER)
        audit.record(actor=actor, verb="team.created", target=team, name=name, owner=owner.email)
    return team


def team_text_may_leave_set(*, actor: User | None, team: Team, allowed: bool) -> Team:
    """Allow or forbid the whole team to use models that send text to another company."""
    require(team, actor, "manage")
    with transaction.atomic():
        changed = Team.objects.filter(pk=team.pk).exclude(text_may_leave=allowed).update(text_may_leave=allowed)
        if changed:
            audit.record(actor=actor, verb="team.text_may_leave_set", target=team, allowed=allowed)
    team.text_may_leave = allowed
    return team


def user_create(*, actor: User | None, email: str, name: str = "") -> User:
    """Create a person without a password: they sign in with a one-time link and may then choose one."""
    email = email.strip().lower()
    _check(validate_email, email, field="email")
    taken = Conflict(_("There is already an account with this e-mail address."), field="email")
    with transaction.atomic():
        if user_by_email(email) is not None:
            raise taken
        with taken_first(taken):
            user = User.objects.create_user(email, None, name=name.strip())
        audit.record(actor=actor, verb="user.created", target=user, email=email)
    return user


def user_change(*, actor: User | None, user: User, fields: list[str]) -> User:
    """Save what an operator changed about a person. The event names the fields and no value."""
    _require_operator(actor)
    if fields:
        taken = Conflict(_("There is already an account with this e-mail address."), field="email")
        with transaction.atomic():
            with taken_first(taken):
                user.save(update_fields=fields)
            audit.record(actor=actor, verb="user.updated", target=user, fields=fields)
    return user


def password_set(*, actor: User | None, user: User, password: str | None) -> User:
    """Give a person a password that an operator chose, or take theirs away (None)."""
    _require_operator(actor)
    with transaction.atomic():
        user.set_password(password)
        user.save(update_fields=["password"])
        audit.record(actor=actor, verb="user.password_changed", target=user, usable=password is not None)
        token_families_revoke(actor=actor, user=user)
    return user


def member_add(*, actor: User | None, team: Team, email: str, role: str, name: str = "") -> MemberAdded:
    """Add a person to `team`. An unknown e-mail address makes an account in embedded mode, and is refused elsewhere."""
    with transaction.atomic():
        require(team, actor, "own" if role == Role.OWNER else "manage")
        _check_role(role)
        user = user_by_email(email)
        is_new = user is None
        if user is None:
            if not settings.EMBEDDED:
                raise ApplicationError(
                    _("Nobody has an account with this e-mail address. An operator can create one."), field="email"
                )
            user = user_create(actor=actor, email=email, name=name)
        membership, created = Membership.objects.get_or_create(team=team, user=user, defaults={"role": role})
        if not created:
            raise Conflict(_("%(email)s is in this team already.") % {"email": user.email}, field="email")
        audit.record(actor=actor, verb="membership.added", target=membership, email=user.email, role=role)
        token = sign_in_link_create(actor=actor, user=user) if is_new else None
    return MemberAdded(membership, token)


def member_role_change(*, actor: User | None, membership: Membership, role: str) -> Membership:
    """Give a member another role. Only an owner makes or unmakes owners; the last owner stays one."""
    with transaction.atomic():
        member = _lock(membership)
        _check_role(role)
        require(member.team, actor, "own" if Role.OWNER in (member.role, role) else "manage")
        if member.role == role:
            return member
        _keep_an_owner(member)
        before, member.role = member.role, role
        member.save(update_fields=["role"])
        audit.record(
            actor=actor,
            verb="membership.role_changed",
            target=member,
            email=member.user.email,
            before=before,
            after=role,
        )
    return member


def member_remove(*, actor: User | None, membership: Membership) -> None:
    """Take a person out of a team, or leave it oneself. The last owner cannot go. Their API keys end with it."""
    with transaction.atomic():
        member = _lock(membership)
        if actor is None or actor.pk != member.user_id:
            require(member.team, actor, "own" if member.role == Role.OWNER else "manage")
        _keep_an_owner(member)
        api_keys_of_member_revoke(actor=actor, team=member.team, person=member.user)
        audit.record(actor=actor, verb="membership.removed", target=member, email=member.user.email, role=member.role)
        member.delete()


def sign_in_link_create(*, actor: User | None, user: User) -> str:
    """A one-time sign-in link's token, of which only the hash is kept. Embedded mode only.

    The command line (actor None) makes one for anybody. A person makes one only for an account that cannot sign in yet
    and that gives no more than a place in teams which this person manages, so that nobody takes over an account by
    adding its address to a team of theirs.
    """
    if not settings.EMBEDDED:
        raise ApplicationError(_("Sign-in links exist only where LLMOpt runs on one machine."), code="not_embedded")
    if not user.is_active:
        raise ApplicationError(_("This account is switched off."), field="email")
    if actor is not None and actor.pk != user.pk and not _opens_nothing_else(user, actor):
        raise NotAllowed(_("A link can be made only for an account that has never signed in and is in no other team."))
    token = secrets.token_urlsafe(32)
    with transaction.atomic():
        SignInLink.objects.create(user=user, token_hash=_token_hash(token), expires_at=timezone.now() + LINK_LIFETIME)
        audit.record(actor=actor, verb="sign_in_link.created", target=user)
    return token


def sign_in_link_use(*, actor: User | None, token: str) -> User:
    """Spend a link and return its person. `actor` is whoever was signed in before, and stands in the event."""
    refusal = ApplicationError(
        _("This sign-in link has been used or is older than 15 minutes. Ask for a new one."), code="link_spent"
    )
    if not settings.EMBEDDED:
        raise refusal
    with transaction.atomic():
        link = link_owner(token_hash=_token_hash(token))
        # The update is the decision: of two simultaneous clicks one changes a row.
        if link is None or not SignInLink.objects.filter(pk=link.pk, used_at__isnull=True).update(
            used_at=timezone.now()
        ):
            raise refusal
        before: dict[str, Any] = (
            {"signed_in_before": actor.email} if actor is not None and actor.pk != link.user_id else {}
        )
        audit.record(actor=link.user, verb="user.signed_in", target=link.user, method="link", **before)
    return link.user


def sign_in_links_forget() -> int:
    """Delete links that have been of no use for a month; their making and their use stay in the audit trail."""
    return SignInLink.objects.filter(expires_at__lt=timezone.now() - KEEP_LINKS).delete()[0]


def password_sign_in_record(*, actor: User) -> None:
    """Note that a person signed in with a password."""
    audit.record(actor=actor, verb="user.signed_in", target=actor, method="password")


def account_update(*, actor: User, name: str) -> User:
    """Change one's own name."""
    with transaction.atomic():
        actor.name = name.strip()
        actor.save(update_fields=["name"])
        audit.record(actor=actor, verb="user.updated", target=actor, fields=["name"])
    return actor


def password_change(*, actor: User, current: str, new: str) -> User:
    """Set one's own password. The current one is asked for where there is one. Programs have to sign in again."""
    if actor.has_usable_password() and not actor.check_password(current):
        raise ApplicationError(_("This is not your current password."), code="wrong_password", field="current")
    _check(lambda value: validate_password(value, actor), new, field="new")
    with transaction.atomic():
        actor.set_password(new)
        actor.save(update_fields=["password"])
        audit.record(actor=actor, verb="user.password_changed", target=actor)
        token_families_revoke(actor=actor, user=actor)
    return actor


def _lock(membership: Membership) -> Membership:
    """The membership as it is now, with its team's row locked: two owners cannot remove each other at once."""
    Team.objects.select_for_update().get(pk=membership.team_id)
    member = Membership.objects.select_related("team", "user").filter(pk=membership.pk).first()
    if member is None:
        raise Conflict(_("This person has left the team meanwhile."))
    return member


def _keep_an_owner(member: Membership) -> None:
    others = Membership.objects.filter(team_id=member.team_id, role=Role.OWNER).exclude(pk=member.pk)
    if member.role == Role.OWNER and not others.exists():
        raise Conflict(_("This is the team's last owner. Make somebody else an owner first."), code="last_owner")


def _require_operator(actor: User | None) -> None:
    if actor is not None and not actor.is_superuser:
        raise NotAllowed(_("Only an operator changes other people's accounts."))


def _opens_nothing_else(user: User, actor: User) -> bool:
    """Whether signing in as `user` shows `actor` nothing: nobody uses the account, and it is in the actor's teams."""
    if user.is_staff or user.is_superuser or user.last_login is not None or user.has_usable_password():
        return False
    if actor.is_superuser:
        return True
    managed = Team.objects.for_user(actor, "manage").values("pk")
    return not Membership.objects.filter(user=user).exclude(team__in=managed).exists()


def _token_hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _check_role(role: str) -> None:
    if role not in Role.values:
        raise ApplicationError(_("%(role)s is not a role.") % {"role": role}, field="role")


def _clean_name(name: str) -> str:
    if not name.strip():
        raise ApplicationError(_("Give the team a name."), field="name")
    return name.strip()


def _check(validate: Any, value: str, *, field: str) -> None:
    try:
        validate(value)
    except ValidationError as error:
        raise ApplicationError(" ".join(error.messages), field=field) from error


def _team_with_free_slug(name: str, *, wanted: str, time_zone: str) -> Team:
    taken = Conflict(_("Somebody made a team of this name just now. Try again."), field="name")
    with taken_first(taken):
        return Team.objects.create(name=name, slug=_free_slug(wanted), time_zone=time_zone)


def _free_slug(wanted: str) -> str:
    """`wanted` as a slug that no team has; the unique column decides between two who ask at once."""
    base = slugify(wanted)[:40] or "team"
    slug, number = base, 2
    while Team.objects.filter(slug=slug).exists():
        slug, number = f"{base}-{number}", number + 1
    return slug
