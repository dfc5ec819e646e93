"""Datasets by REST: one with its versions, rows of the splits that may be seen, and versions made of a version."""

from typing import Any
from uuid import UUID

from django.urls import reverse
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api.teams import scope
from apps.core.access import fetch_for_user
from apps.core.api.once import once
from apps.core.api.paging import neighbours, place
from apps.core.api.schema import documented
from apps.experiments import rows
from apps.experiments.api.serializers import (
    DatasetChangeSerializer,
    DatasetSerializer,
    DatasetVersionSerializer,
    DeriveSerializer,
    RowPageSerializer,
    RowQuery,
)
from apps.experiments.models import Dataset, DatasetVersion
from apps.experiments.services.datasets import dataset_delete, dataset_rename
from apps.experiments.services.derived_versions import dataset_fresh_test, dataset_version_derive


@documented(
    "dataset",
    says="One dataset with its versions, newest first.",
    method="GET",
    answer=DatasetSerializer,
    refusals=[404],
    tag="datasets",
)
@documented(
    "dataset_change",
    says="Call it something else. Versions, splits and everything that uses them stay.",
    method="PATCH",
    answer=DatasetSerializer,
    request=DatasetChangeSerializer,
    refusals=[404],
    tag="datasets",
)
@documented(
    "dataset_delete",
    says="Remove it with its versions, imports and files. 409, naming what, while something depends on it.",
    method="DELETE",
    answer=None,
    status=204,
    refusals=[404, 409],
    tag="datasets",
)
@api_view(["GET", "PATCH", "DELETE"])
@once
def dataset(request: Request, uid: UUID) -> Response:
    """One dataset with its versions, newest first. It can be renamed, and deleted while nothing depends on it."""
    action = "view" if request.method == "GET" else "edit"
    found = fetch_for_user(Dataset, request.user, action, uid=uid, **scope(request))
    if request.method == "DELETE":
        dataset_delete(actor=request.user, dataset=found)
        return Response(status=204)
    if request.method == "PATCH":
        given = DatasetChangeSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        found = dataset_rename(actor=request.user, dataset=found, name=given.validated_data["name"])
    return Response(DatasetSerializer(found).data)


@documented("dataset_version", method="GET", answer=DatasetVersionSerializer, refusals=[404], tag="datasets")
@api_view(["GET"])
def dataset_version(request: Request, uid: UUID, number: int) -> Response:
    """One version: what an answer is, how many rows each split has, and the hash of its content."""
    return Response(DatasetVersionSerializer(_version(request, uid, number)).data)


@documented(
    "dataset_rows", method="GET", answer=RowPageSerializer, refusals=[404], query=RowQuery, tag="datasets"
)  # fmt: skip
@api_view(["GET"])
def dataset_rows(request: Request, uid: UUID, number: int) -> Response:
    """Rows of train or validation, searched. Test rows stay closed."""
    version = _version(request, uid, number)
    asked = RowQuery.asked(request)
    offset, limit = place(request)
    found = rows.search(version, split=asked["split"], text=asked["q"], offset=offset, limit=limit)
    shown = len(found.rows)
    around = neighbours(request, offset=offset, limit=limit, shown=shown, total=found.total)
    answer = {**around, "count": found.total, "more": found.more, "results": found.rows}
    return Response(RowPageSerializer(answer).data)


@documented(
    "dataset_version_derive",
    method="POST",
    answer=DatasetVersionSerializer,
    status=201,
    request=DeriveSerializer,
    refusals=[404, 409],
    tag="datasets",
)
@api_view(["POST"])
@once
def derive(request: Request, uid: UUID, number: int) -> Response:
    """The next version, made from this one by one operation. Every row keeps its split."""
    version = _version(request, uid, number, "edit")
    given = DeriveSerializer(data=request.data)
    given.is_valid(raise_exception=True)
    return _made(request, dataset_version_derive(actor=request.user, version=version, **given.as_arguments()))


@documented(
    "dataset_fresh_test", method="POST", answer=DatasetVersionSerializer, status=201, refusals=[404, 409],
    tag="datasets",
)  # fmt: skip
@api_view(["POST"])
@once
def fresh_test(request: Request, uid: UUID, number: int) -> Response:
    """The same rows as the first version of a new dataset, none of whose test rows was one before."""
    version = _version(request, uid, number, "edit")
    return _made(request, dataset_fresh_test(actor=request.user, version=version))


def _made(request: Request, version: DatasetVersion) -> Response:
    address = reverse("api_dataset_version", args=[version.dataset.uid, version.number])
    headers = {"Location": request.build_absolute_uri(address)}
    return Response(DatasetVersionSerializer(version).data, status=201, headers=headers)


def _version(request: Request, uid: Any, number: int, action: str = "view") -> DatasetVersion:
    return fetch_for_user(
        DatasetVersion, request.user, action, dataset__uid=uid, number=number, **scope(request, "dataset__team")
    )
