"""Creating prompts, their immutable versions and the labels that point at them."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from django.db import transaction
from django.db.models import Max, ProtectedError
from django.utils.translation import gettext as _

from apps.core import audit
from apps.core.access import require
from apps.core.errors import ApplicationError, Conflict, NotFound, translated
from apps.core.storable import storable_text
from apps.core.unique import taken_first
from apps.experiments import rows
from apps.experiments.engine.prompts import (
    Demonstration,
    PromptError,
    PromptSpec,
    check_template,
    known_variables,
    render_messages,
)
from apps.experiments.models import DatasetVersion, Prompt, PromptLabel, PromptVersion
from apps.experiments.selectors import prompt_spec

MAX_NAME = 160
MAX_NOTE = 300
MAX_DESCRIPTION = 4000
# Beyond these a version is no prompt that a model could be shown.
MAX_MESSAGES = 20
MAX_DEMONSTRATIONS = 50
LABEL = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")
# What the product itself says of versions; a label of that name would contradict it.
RESERVED_LABELS = ("latest", "newest")
DEPENDENTS_NAMED = 5


def prompt_version_create(
    *,
    actor: Any,
    team: Any,
    name: str,
    spec: PromptSpec,
    demonstrations_from: DatasetVersion | None = None,
    note: str = "",
    columns: Sequence[str] = (),
    carried_from: PromptVersion | None = None,
) -> PromptVersion:
    """The version of the prompt `name` that says exactly `spec`; made if there is none yet.

    Demonstrations must be training rows of `demonstrations_from`, word for word: a shown test or validation row, also
    one under a training row's id, would be a leak. Those of `carried_from`, an earlier version of the same prompt, were
    checked when it was made. `columns` are kept columns that the prompt may name; those of `demonstrations_from` are
    too.
    """
    require(team, actor, "edit")
    _check_spec(team, spec, demonstrations_from, columns, carried_from)
    if carried_from is not None and carried_from.prompt.name != name:
        raise ApplicationError(_("Demonstrations are carried over within one prompt only."), field="demonstrations")
    with transaction.atomic():
        prompt, _created = Prompt.objects.get_or_create(
            team=team, name=_checked_name(name), defaults={"created_by": actor}
        )
        return _version(actor, prompt, spec, note)


def prompt_create(
    *,
    actor: Any,
    team: Any,
    name: str,
    spec: PromptSpec,
    description: str = "",
    demonstrations_from: DatasetVersion | None = None,
    note: str = "",
    columns: Sequence[str] = (),
) -> PromptVersion:
    """A new prompt with its first version. Conflict when the team has a prompt of that name."""
    require(team, actor, "edit")
    name = _checked_name(name)
    _check_spec(team, spec, demonstrations_from, columns, None)
    with transaction.atomic():
        prompt, created = Prompt.objects.get_or_create(
            team=team, name=name, defaults={"created_by": actor, "description": _checked_description(description)}
        )
        if not created:
            raise _name_taken(name)
        audit.record(actor=actor, verb="prompt.created", target=prompt, name=name)
        return _version(actor, prompt, spec, note)


def prompt_update(*, actor: Any, prompt: Prompt, name: str, description: str) -> Prompt:
    """Another name or description. Versions keep what they say; experiments that use them show the new name."""
    require(prompt, actor, "edit")
    name, description = _checked_name(name), _checked_description(description)
    with transaction.atomic():
        locked: Prompt = Prompt.objects.select_for_update().get(pk=prompt.pk)
        if name != locked.name:
            if Prompt.objects.filter(team=locked.team, name=name).exclude(pk=locked.pk).exists():
                raise _name_taken(name)
            audit.record(actor=actor, verb="prompt.renamed", target=locked, before=locked.name, name=name)
        if description != locked.description:
            audit.record(actor=actor, verb="prompt.described", target=locked, name=name)
        locked.name, locked.description = name, description
        with taken_first(_name_taken(name)):
            locked.save(update_fields=["name", "description"])
    return locked


def prompt_label_set(*, actor: Any, prompt: Prompt, name: str, version: PromptVersion) -> PromptLabel:
    """Let the label point at `version`, wherever it pointed before."""
    require(prompt, actor, "edit")
    name = name.strip()
    if not LABEL.fullmatch(name):
        raise ApplicationError(
            _("A label has up to 40 small letters, digits, dots, hyphens and underscores, such as production."),
            code="label_invalid",
            field="name",
        )
    if name in RESERVED_LABELS:
        raise ApplicationError(
            _("%(name)s always means the newest version; choose another label.") % {"name": name},
            code="label_reserved",
            field="name",
        )
    if version.prompt_id != prompt.pk:
        raise NotFound(_("There is no such version of this prompt."))
    with transaction.atomic():
        Prompt.objects.select_for_update().get(pk=prompt.pk)
        before = PromptLabel.objects.filter(prompt=prompt, name=name).select_related("version").first()
        if before is not None and before.version_id == version.pk:
            return before
        label: PromptLabel
        label, _created = PromptLabel.objects.update_or_create(prompt=prompt, name=name, defaults={"version": version})
        facts: dict[str, Any] = {
            "label": name,
            "number": version.number,
            "before": before.version.number if before else None,
        }
        audit.record(actor=actor, verb="prompt_label.set", target=prompt, name=prompt.name, **facts)
    return label


def prompt_label_remove(*, actor: Any, prompt: Prompt, name: str) -> None:
    require(prompt, actor, "edit")
    with transaction.atomic():
        label = PromptLabel.objects.select_for_update().filter(prompt=prompt, name=name).first()
        if label is None:
            raise NotFound(_("This prompt has no label %(name)s.") % {"name": name})
        number = label.version.number
        label.delete()
        facts: dict[str, Any] = {"label": name, "number": number}
        audit.record(actor=actor, verb="prompt_label.removed", target=prompt, name=prompt.name, **facts)


def prompt_delete(*, actor: Any, prompt: Prompt) -> None:
    """Remove a prompt with all versions and labels. Refused, with names, while anything was made with one of them."""
    require(prompt, actor, "edit")
    try:
        with transaction.atomic():
            Prompt.objects.select_for_update().get(pk=prompt.pk)
            facts: dict[str, Any] = {"name": prompt.name, "versions": prompt.versions.count()}
            audit.record(actor=actor, verb="prompt.deleted", target=prompt, **facts)
            prompt.labels.all().delete()
            prompt.versions.all().delete()
            prompt.delete()
    except ProtectedError as error:
        raise Conflict(
            _("%(name)s is kept: %(dependents)s depend on it.")
            % {"name": prompt.name, "dependents": _named(error.protected_objects)},
            code="prompt_in_use",
        ) from error


def _version(actor: Any, prompt: Prompt, spec: PromptSpec, note: str) -> PromptVersion:
    """The version that says `spec`, under a lock on the prompt: two made at once get two numbers."""
    Prompt.objects.select_for_update().get(pk=prompt.pk)
    existing: PromptVersion | None = prompt.versions.filter(content_hash=spec.digest()).first()
    if existing is not None:
        return existing
    if len(note) > MAX_NOTE:
        raise ApplicationError(_("A note has up to %(most)s characters.") % {"most": MAX_NOTE}, field="note")
    last = prompt.versions.aggregate(last=Max("number"))["last"] or 0
    version: PromptVersion = PromptVersion.objects.create(
        prompt=prompt,
        number=last + 1,
        content_hash=spec.digest(),
        note=storable_text(note.strip()),
        created_by=actor,
        **spec.as_json(),
    )
    audit.record(actor=actor, verb="prompt_version.created", target=version, name=prompt.name, number=version.number)
    return version


def _check_spec(
    team: Any,
    spec: PromptSpec,
    dataset_version: DatasetVersion | None,
    columns: Sequence[str],
    carried_from: PromptVersion | None,
) -> None:
    if dataset_version is not None:
        if dataset_version.owning_team_id != team.pk:
            raise ApplicationError(_("The demonstrations must come from a dataset of the prompt's team."))
        columns = [*columns, *dataset_version.columns]
    if carried_from is not None and carried_from.owning_team_id != team.pk:
        raise ApplicationError(_("The demonstrations must come from a prompt of the same team."))
    _check_size(spec)
    _check_messages(spec, columns)
    _check_demonstrations(spec, dataset_version, carried_from)


def _check_size(spec: PromptSpec) -> None:
    if len(spec.messages) > MAX_MESSAGES:
        said = _("A prompt has at most %(most)s messages.") % {"most": MAX_MESSAGES}
        raise ApplicationError(said, code="prompt_invalid", field="messages")
    if len(spec.demonstrations) > MAX_DEMONSTRATIONS:
        said = _("A prompt shows at most %(most)s demonstrations.") % {"most": MAX_DEMONSTRATIONS}
        raise ApplicationError(said, code="prompt_invalid", field="demonstrations")
    for text in (message.content for message in spec.messages):
        if storable_text(text) != text:
            said = _("A message holds a character that is no text (NUL or half of a pair). Remove it.")
            raise ApplicationError(said, code="prompt_invalid", field="messages")


def _check_messages(spec: PromptSpec, columns: Sequence[str]) -> None:
    known = known_variables(columns)
    for number, message in enumerate(spec.messages, start=1):
        problems = check_template(message.content, known)
        if problems:
            said = _("Message %(number)s: %(problem)s") % {
                "number": number,
                "problem": translated(problems[0].sentence),
            }
            raise ApplicationError(said, code="prompt_invalid", field="messages")
    try:
        render_messages(spec, "an input", dict.fromkeys(known, "a value"))
    except PromptError as error:
        raise ApplicationError(translated(error), code="prompt_invalid", field="messages") from error


def _check_demonstrations(
    spec: PromptSpec, dataset_version: DatasetVersion | None, carried_from: PromptVersion | None
) -> None:
    carried = prompt_spec(carried_from).demonstrations if carried_from is not None else ()
    wanted = [shown for shown in spec.demonstrations if shown not in carried]
    if not wanted:
        return
    found = [rows.row_by_id(dataset_version, shown.id) for shown in wanted] if dataset_version is not None else []
    train = [row for row in found if row is not None and row.split == "train"]
    known = {(row.id, row.input, row.expected): row.columns for row in train}
    strangers = [shown.id for shown in wanted if not _is_among(shown, known)]
    if strangers:
        raise ApplicationError(
            _("Demonstrations must be training rows; %(ids)s are not.") % {"ids": ", ".join(strangers)},
            code="demonstration_not_train",
            field="demonstrations",
        )


def _is_among(shown: Demonstration, known: dict[tuple[str, str, str], Any]) -> bool:
    """Whether it is one of those rows, every column that it shows included."""
    columns = known.get((shown.id, shown.input, shown.expected))
    return columns is not None and all(columns.get(name) == value for name, value in shown.columns.items())


def _checked_name(name: str) -> str:
    name = storable_text(" ".join(name.split()))
    if not name or len(name) > MAX_NAME:
        said = _("A prompt needs a name of up to %(most)s characters.") % {"most": MAX_NAME}
        raise ApplicationError(said, code="name_invalid", field="name")
    return name


def _checked_description(description: str) -> str:
    if len(description) > MAX_DESCRIPTION:
        said = _("A description has up to %(most)s characters.") % {"most": MAX_DESCRIPTION}
        raise ApplicationError(said, code="description_invalid", field="description")
    return storable_text(description.strip())


def _name_taken(name: str) -> Conflict:
    said = _("There is already a prompt called %(name)s. Choose another name, or add a version to that one.")
    return Conflict(said % {"name": name}, code="name_taken", field="name")


def _named(dependents: Iterable[Any]) -> str:
    """What depends on something, by kind and name; the first few."""
    found = [f"{row._meta.verbose_name} {row}" for row in dependents]
    rest = len(found) - DEPENDENTS_NAMED
    more = [_("%(rest)s more") % {"rest": rest}] if rest > 0 else []
    return ", ".join([*found[:DEPENDENTS_NAMED], *more])
