"""Datasets by REST: the list, one with its versions, and rows of the splits that may be seen."""

from typing import Any
from uuid import UUID

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from apps.accounts.api.teams import scope
from apps.core.access import fetch_for_user
from apps.core.api.schema import documented
from apps.experiments import rows
from apps.experiments.api.serializers import DatasetSerializer, DatasetVersionSerializer, RowPageSerializer
from apps.experiments.models import Dataset, DatasetVersion

PAGE_SIZE = 50
_ROWS = (
    OpenApiParameter("split", description="`train` (unless told) or `validation`. Test rows are never given."),
    OpenApiParameter("q", description="Only rows whose input or expected answer contains this text."),
    OpenApiParameter("offset", OpenApiTypes.INT, description="As in `next` of a page."),
)


@documented("dataset", method="GET", answer=DatasetSerializer, refusals=[404], tag="datasets")
@api_view(["GET"])
def dataset(request: Request, uid: UUID) -> Response:
    """One dataset with its versions, newest first."""
    found = fetch_for_user(Dataset, request.user, uid=uid, **scope(request))
    return Response(DatasetSerializer(found).data)


@documented("dataset_version", method="GET", answer=DatasetVersionSerializer, refusals=[404], tag="datasets")
@api_view(["GET"])
def dataset_version(request: Request, uid: UUID, number: int) -> Response:
    """One version: what an answer is, how many rows each split has, and the hash of its content."""
    return Response(DatasetVersionSerializer(_version(request, uid, number)).data)


@documented(
    "dataset_rows", method="GET", answer=RowPageSerializer, refusals=[404], parameters=_ROWS, tag="datasets"
)  # fmt: skip
@api_view(["GET"])
def dataset_rows(request: Request, uid: UUID, number: int) -> Response:
    """Rows of train or validation, searched. Test rows stay closed."""
    version = _version(request, uid, number)
    query = request.query_params
    offset = int(query["offset"]) if query.get("offset", "").isdecimal() and len(query["offset"]) < 10 else 0
    found = rows.search(
        version, split=query.get("split", "train"), text=query.get("q", "")[:200], offset=offset, limit=PAGE_SIZE
    )
    end = offset + len(found.rows)
    address = request.build_absolute_uri()
    return Response(
        RowPageSerializer(
            {
                "count": found.total,
                "more": found.more,
                "next": replace_query_param(address, "offset", end) if found.rows and end < found.total else None,
                "results": found.rows,
            }
        ).data
    )


def _version(request: Request, uid: Any, number: int) -> DatasetVersion:
    return fetch_for_user(
        DatasetVersion, request.user, dataset__uid=uid, number=number, **scope(request, "dataset__team")
    )
