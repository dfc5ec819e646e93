"""What a command line names, looked up by name, served name or uid."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from apps.accounts.models import Membership, Team, User
from apps.core.errors import NotFound
from apps.core.roles import Role
from apps.experiments.models import DatasetVersion, PromptVersion
from apps.providers.models import LanguageModel
from apps.training.plan import PRESETS, Planned, limits_of, spec_of
from apps.training.services.prompts import input_alone_prompt


@dataclass(frozen=True)
class Given:
    """The options of `manage.py train`; `number` 0 is the newest version, limits of 0 are none."""

    team: str
    dataset: str
    number: int
    base: str
    prompt: str
    method: str
    preset: str
    max_examples: int = 0
    max_minutes: float = 0.0
    leave_out_long: bool = False


def found_plan(given: Given) -> tuple[User, Team, Planned]:
    """Who acts (the team's first owner), where, and the plan. NotFound names what is missing."""
    owner, team = acting_owner(given.team)
    version = version_named(team, given.dataset, given.number)
    ready = LanguageModel.objects.filter(team=team, state=LanguageModel.State.READY)
    model = _first(ready.filter(_named(given.base) | Q(served_name=given.base)), _("model"), given.base)
    prompt = _prompt(given.prompt, team) if given.prompt else input_alone_prompt(actor=owner, team=team)
    preset = PRESETS[given.preset]
    most = given.max_examples or preset.max_examples
    limits = limits_of(
        max_examples=most if most < version.train_count else 0,
        max_seconds=round(60 * given.max_minutes),
        leave_out_long=given.leave_out_long,
    )
    return owner, team, Planned(model, version, prompt, spec_of(given.method, preset, model), limits)


def acting_owner(slug: str) -> tuple[User, Team]:
    """A team by its slug, and its first owner, who acts for the command line."""
    team = Team.objects.filter(slug=slug).first()
    owner = Membership.objects.filter(team=team, role=Role.OWNER).select_related("user").order_by("pk").first()
    if team is None or owner is None:
        raise NotFound(_("There is no team %(name)s.") % {"name": slug})
    return owner.user, team


def version_named(team: Team, dataset: str, number: int) -> DatasetVersion:
    """A version of the dataset with this name or uid; `number` 0 is the newest."""
    versions = DatasetVersion.objects.filter(_named(dataset, "dataset__"), dataset__team=team)
    found: DatasetVersion = _first(versions.filter(number=number) if number else versions, _("dataset"), dataset)
    return found


def _prompt(text: str, team: Team) -> PromptVersion:
    name, _colon, number = text.rpartition(":")
    rows = PromptVersion.objects.filter(prompt__team=team)
    if name and number.isdecimal():
        rows = rows.filter(_named(name, "prompt__"), number=int(number))
    else:
        rows = rows.filter(_named(text, "prompt__"))
    found: PromptVersion = _first(rows, _("prompt"), text)
    return found


def _named(text: str, prefix: str = "") -> Q:
    try:
        return Q(**{f"{prefix}uid": UUID(text)})
    except ValueError:
        return Q(**{f"{prefix}name": text})


def _first(rows: QuerySet[Any], what: str, name: str) -> Any:
    found = rows.order_by("-pk").first()
    if found is None:
        raise NotFound(_("There is no %(what)s %(name)s in this team.") % {"what": what, "name": name})
    return found
