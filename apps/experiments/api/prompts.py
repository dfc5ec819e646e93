"""Prompts by REST: the list, one with its versions, a new one, a new version, and labels."""

from typing import Any
from uuid import UUID

from django.urls import reverse
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api.teams import scope, team_for
from apps.core.access import fetch_for_user
from apps.core.api.once import once
from apps.core.api.paging import page
from apps.core.api.schema import documented
from apps.core.errors import ApplicationError, NotFound, translated
from apps.experiments import prompt_reading, selectors
from apps.experiments.api.serializers import (
    LabelSerializer,
    PromptChangeSerializer,
    PromptCreateSerializer,
    PromptDetailSerializer,
    PromptSerializer,
    PromptVersionSerializer,
    VersionCreateSerializer,
)
from apps.experiments.engine.prompts import (
    Demonstration,
    PromptError,
    PromptSpec,
    known_variables,
    spec_from_json,
    variables_of,
)
from apps.experiments.engine.rows import Example
from apps.experiments.models import DatasetVersion, Prompt
from apps.experiments.services.prompts import (
    LABEL,
    prompt_create,
    prompt_delete,
    prompt_label_remove,
    prompt_label_set,
    prompt_update,
    prompt_version_create,
)

_LABEL = OpenApiParameter(
    "label",
    {"type": "string", "pattern": f"^{LABEL.pattern}$"},
    location=OpenApiParameter.PATH,
    description="`latest` and `newest` always mean the newest version, and are none.",
)


@documented(
    "prompts",
    says="The team's prompts, newest first.",
    method="GET",
    answer=PromptSerializer,
    paged=True,
    tag="prompts",
)
@documented(
    "prompt_create",
    says="A new prompt, of which the first version is answered. 400 names an undefined variable with its place.",
    method="POST",
    answer=PromptVersionSerializer,
    status=201,
    request=PromptCreateSerializer,
    refusals=[404, 409],
    tag="prompts",
)
@api_view(["GET", "POST"])
@once
def prompts(request: Request) -> Response:
    """The team's prompts, newest first; or a new prompt, of which the first version is answered."""
    if request.method != "POST":
        team = team_for(request)
        return page(request, prompt_reading.prompts(user=request.user, team=team), PromptSerializer)
    team = team_for(request, "edit")
    given = PromptCreateSerializer(data=request.data)
    given.is_valid(raise_exception=True)
    values = given.validated_data
    version = _dataset_version(request, team, values)
    made = prompt_create(
        actor=request.user,
        team=team,
        name=values["name"],
        description=values["description"],
        spec=_spec(version, values),
        demonstrations_from=version,
        note=values["note"],
    )
    location = request.build_absolute_uri(reverse("api_prompt", args=[made.prompt.uid]))
    return Response(PromptVersionSerializer(made).data, status=201, headers={"Location": location})


@documented(
    "prompt",
    says="One prompt with its versions, newest first, and where its labels point.",
    method="GET",
    answer=PromptDetailSerializer,
    refusals=[404],
    tag="prompts",
)
@documented(
    "prompt_change",
    says="Another name or description; what is left out stays. Versions keep what they say.",
    method="PATCH",
    answer=PromptDetailSerializer,
    request=PromptChangeSerializer,
    refusals=[404, 409],
    tag="prompts",
)
@documented(
    "prompt_delete",
    says="Remove it with its versions and labels. 409, naming what, while something was made with it.",
    method="DELETE",
    answer=None,
    status=204,
    refusals=[404, 409],
    tag="prompts",
)
@api_view(["GET", "PATCH", "DELETE"])
@once
def prompt(request: Request, uid: UUID) -> Response:
    """One prompt with its versions, newest first, and where its labels point.

    It gets another name or description, and is deleted while nothing was made with it.
    """
    found = _prompt(request, uid, "view" if request.method == "GET" else "edit")
    if request.method == "DELETE":
        prompt_delete(actor=request.user, prompt=found)
        return Response(status=204)
    if request.method == "PATCH":
        given = PromptChangeSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        kept = {"name": found.name, "description": found.description}
        prompt_update(actor=request.user, prompt=found, **{**kept, **given.validated_data})
    return Response(_detail(request, found))


@documented(
    "prompt_label_set",
    says="Let a label, such as `production`, point at one version, wherever it pointed before.",
    method="PUT",
    answer=PromptDetailSerializer,
    request=LabelSerializer,
    refusals=[404],
    parameters=[_LABEL],
    tag="prompts",
)
@documented(
    "prompt_label_remove",
    says="Take a label away. The version that it pointed at stays.",
    method="DELETE",
    answer=None,
    status=204,
    refusals=[404],
    parameters=[_LABEL],
    tag="prompts",
)
@api_view(["PUT", "DELETE"])
@once
def prompt_label(request: Request, uid: UUID, label: str) -> Response:
    """Let a label, such as `production`, point at one version, wherever it pointed before; or take it away."""
    found = _prompt(request, uid, "edit")
    if request.method == "DELETE":
        prompt_label_remove(actor=request.user, prompt=found, name=label)
        return Response(status=204)
    given = LabelSerializer(data=request.data)
    given.is_valid(raise_exception=True)
    version = prompt_reading.prompt_version(user=request.user, prompt=found, number=given.validated_data["version"])
    prompt_label_set(actor=request.user, prompt=found, name=label, version=version)
    return Response(_detail(request, found))


def _detail(request: Request, found: Prompt) -> Any:
    listed = prompt_reading.prompts(user=request.user, team=found.team).get(pk=found.pk)
    versions = prompt_reading.versions_of(user=request.user, prompt=found)
    return PromptDetailSerializer(listed, context={"versions": versions}).data


@documented(
    "prompt_version_create",
    method="POST",
    answer=PromptVersionSerializer,
    status=201,
    request=VersionCreateSerializer,
    refusals=[404],
    tag="prompts",
)
@api_view(["POST"])
@once
def prompt_versions(request: Request, uid: UUID) -> Response:
    """The next version; the same content again gives the version that has it."""
    found = _prompt(request, uid, "edit")
    given = VersionCreateSerializer(data=request.data)
    given.is_valid(raise_exception=True)
    values = given.validated_data
    version = _dataset_version(request, found.team, values)
    made = prompt_version_create(
        actor=request.user,
        team=found.team,
        name=found.name,
        spec=_spec(version, values),
        demonstrations_from=version,
        note=values["note"],
    )
    return Response(PromptVersionSerializer(made).data, status=201)


def _prompt(request: Request, uid: Any, action: str) -> Prompt:
    return fetch_for_user(Prompt, request.user, action, uid=uid, **scope(request))


def _dataset_version(request: Request, team: Any, values: dict[str, Any]) -> DatasetVersion | None:
    uid = values.get("dataset_version")
    return selectors.dataset_version_by_uid(user=request.user, team=team, uid=uid) if uid else None


def _spec(version: DatasetVersion | None, values: dict[str, Any]) -> PromptSpec:
    """Messages with the named training rows as demonstrations, of which only the columns that are read are kept."""
    ids = values["demonstrations"]
    if ids and version is None:
        raise ApplicationError(
            _("Name the dataset version that the demonstrations are training rows of."), field="dataset_version"
        )
    found = prompt_reading.train_rows_by_id(version, ids) if version is not None and ids else {}
    if len(found) < len(set(ids)):
        raise NotFound(_("There is no such training row here."), field="demonstrations")
    try:
        spec = spec_from_json([dict(message) for message in values["messages"]])
        named = variables_of(spec)
    except PromptError as error:
        raise ApplicationError(translated(error), code="prompt_invalid", field="messages") from error
    shown = [Demonstration(row.id, row.input, row.expected, _read(row, named)) for row in (found[id_] for id_ in ids)]
    return PromptSpec(messages=spec.messages, demonstrations=tuple(shown))


def _read(row: Example, named: set[str]) -> dict[str, str]:
    """The kept columns that the prompt reads."""
    return {name: text for name, text in row.columns.items() if (set(known_variables([name])) - {"input"}) & named}
