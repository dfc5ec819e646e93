"""Models as a form offers them: the ready ones, those whose fix is a part of the same act, and those that need more."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from django.urls import reverse
from django.utils.translation import gettext as _

from apps.accounts.models import Team
from apps.core.formats import size_text
from apps.core.models import JobStatus
from apps.providers.entries import Fix, ModelEntry, model_choices
from apps.providers.models import LanguageModel

# A value that names a model of the written list by its key, where the team has no such model that could be used.
WRITTEN = "list:"
_GOES_ON = (JobStatus.QUEUED, JobStatus.RUNNING)


@dataclass(frozen=True)
class ModelChoice:
    """`value` is what the form sends. `fix` is set where there is nothing to send yet: it leads to what is needed."""

    value: str
    label: str
    entry: ModelEntry
    fix: Fix | None = None

    @property
    def model(self) -> LanguageModel | None:
        return self.entry.model

    @property
    def ready(self) -> bool:
        return self.entry.ready

    @property
    def possible(self) -> bool:
        return self.fix is None


def choices_of(
    *, user: Any, team: Team, wanted: Callable[[ModelEntry], bool] = lambda entry: True
) -> list[ModelChoice]:
    """Every model of the team and of the written list, those that can be chosen first, ready ones before the others."""
    entries = [entry for entry in model_choices(user=user, team=team) if wanted(entry) and entry.state != "retired"]
    choices = [_choice(entry, team) for entry in entries]
    return sorted(choices, key=lambda choice: (not choice.possible, not choice.entry.ready))


def is_base(entry: ModelEntry) -> bool:
    """Whether it was not made by a training of this team."""
    if entry.provider:
        return False
    return entry.model is None or entry.model.kind == LanguageModel.Kind.LOCAL


def possible_values(choices: Iterable[ModelChoice]) -> list[tuple[str, str]]:
    return [(choice.value, choice.label) for choice in choices if choice.possible]


def _choice(entry: ModelEntry, team: Team) -> ModelChoice:
    uid = str(entry.model.uid) if entry.model is not None else ""
    if entry.ready:
        return ModelChoice(uid, _label(entry, ""), entry)
    if entry.model is not None and entry.model.state == LanguageModel.State.PLANNED:
        return ModelChoice(uid, _label(entry, _waits_for(entry.model)), entry)
    if entry.fix is not None and entry.fix.key:
        # A provider's model is there as soon as it is named.
        first = "" if entry.provider else _first(entry.fix)
        return ModelChoice(f"{WRITTEN}{entry.fix.key}", _label(entry, first), entry)
    page = reverse("model", args=[team.slug, uid])
    fix = entry.fix or Fix(_("See what happened"), page)
    return ModelChoice(uid, _label(entry, entry.state_label or _("could not be made")), entry, fix)


def _first(fix: Fix) -> str:
    return _("%(fix)s first") % {"fix": fix.label}


def _waits_for(model: LanguageModel) -> str:
    fetch = getattr(model, "fetch", None)
    if fetch is None:
        return _("trained first")
    return _("being added") if fetch.status in _GOES_ON else _("adding it goes on first")


def _label(entry: ModelEntry, state: str) -> str:
    """Name, state, where it runs and how much memory it takes, in one line."""
    memory = _("%(size)s of memory") % {"size": size_text(entry.memory_bytes)} if entry.memory_bytes else ""
    return " · ".join(part for part in (entry.name, state, entry.where, memory) if part)
