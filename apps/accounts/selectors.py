"""Reads about people and teams."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db.models import Q, QuerySet
from django.utils import timezone

from apps.accounts.models import APIKey, Membership, SignInLink, Team, TokenFamily, User
from apps.core.access import fetch_for_user
from apps.core.roles import Role, roles_for
from apps.core.scopes import NEEDS, KeyScope


def teams_of(user: Any) -> QuerySet[Team]:
    """Teams that `user` belongs to in any role, by name."""
    return Team.objects.for_user(user, "belong").order_by("name", "id")


def team_called(slug: str) -> Team | None:
    """The team with this short name, for the command line."""
    return Team.objects.filter(slug=slug).first()


def role_in(*, user: Any, team: Team) -> str | None:
    """The role of `user` in `team`; None for someone who is not in it, or who comes with an API key of another one."""
    key = user.through_key if isinstance(user, User) else None
    if key is not None and key.team_id != team.pk:
        return None
    return Membership.objects.filter(team=team, user=user).values_list("role", flat=True).first()


def may(*, user: Any, team: Team, action: str) -> bool:
    """Whether `user` may perform `action` in `team`."""
    return role_in(user=user, team=team) in roles_for(action)


def members_of(*, user: Any, team: Team) -> QuerySet[Membership]:
    """Memberships of `team`, owners first, for anyone who may see the team's pages."""
    return (
        Membership.objects.for_user(user, "view").filter(team=team).select_related("user").order_by("created_at", "id")
    )


@dataclass(frozen=True)
class MemberRow:
    """One member as the reader sees it: whether they may change the role and take the person out."""

    member: Membership
    changeable: bool


def member_rows(*, user: Any, team: Team, members: Iterable[Membership]) -> list[MemberRow]:
    """The given members of `team`. Only an owner changes an owner; the services decide, this is what is offered."""
    role = role_in(user=user, team=team)
    owns, manages = role in roles_for("own"), role in roles_for("manage")
    return [MemberRow(member, owns or (manages and member.role != Role.OWNER)) for member in members]


def membership_for(*, user: Any, team: Team, uid: Any) -> Membership:
    """One membership of `team`. A member may always fetch their own, to leave."""
    own = Membership.objects.filter(team=team, user=user, uid=uid).select_related("user").first()
    return own or fetch_for_user(Membership, user, "manage", team=team, uid=uid)


def assignable_roles(*, user: Any, team: Team) -> list[tuple[str, str]]:
    """Roles that `user` may give to others in `team`, as choices: only an owner makes owners."""
    role = role_in(user=user, team=team)
    return [
        (str(value), str(label)) for value, label in Role.choices if value != Role.OWNER or role in roles_for("own")
    ]


def api_keys_of(*, user: Any, team: Team) -> QuerySet[APIKey]:
    """API keys of `team`, newest first: one's own, or everybody's for whoever manages the team."""
    found = APIKey.objects.for_user(user, "view").filter(team=team).select_related("person")
    return found if may(user=user, team=team, action="manage") else found.filter(person=user)


def api_key_for(*, user: Any, uid: Any, **team: Any) -> APIKey:
    """One key that `api_keys_of` lists for this person; with `team` one of this team."""
    key = fetch_for_user(APIKey, user, "view", uid=uid, **team)
    if key.person_id != user.pk:
        key = fetch_for_user(APIKey, user, "manage", uid=uid, **team)
    return key


def scopes_for(*, user: Any, team: Team) -> list[str]:
    """Scopes for which the role of `user` in `team` is enough."""
    role = role_in(user=user, team=team)
    return [scope for scope in KeyScope.values if role in roles_for(NEEDS[scope])]


def program_count(*, user: User) -> int:
    """Programs that are signed in with tokens of this person."""
    return TokenFamily.objects.filter(user=user, revoked_at__isnull=True, expires_at__gt=timezone.now()).count()


def user_by_email(email: str) -> User | None:
    return User.objects.filter(email__iexact=email.strip()).first()


def link_owner(*, token_hash: str) -> SignInLink | None:
    """The link with this hash if it can still be used."""
    return (
        SignInLink.objects.select_related("user")
        .filter(Q(used_at__isnull=True), token_hash=token_hash, expires_at__gt=timezone.now(), user__is_active=True)
        .first()
    )


def default_login_user() -> User | None:
    """The person a printed sign-in link is for when no e-mail address is given: the owner of the oldest team."""
    owner = Membership.objects.filter(role=Role.OWNER, user__is_active=True).order_by("team_id", "id").first()
    return owner.user if owner else None


def user_by_id(pk: int) -> User | None:
    """An active person."""
    return User.objects.filter(pk=pk, is_active=True).first()
