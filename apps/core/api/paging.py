"""Lists of the REST API: pages named by a cursor, which new rows do not shift."""

from typing import Any

from django.db.models import QuerySet
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.utils.urls import replace_query_param

PAGE_SIZE = 50
MAX_PAGE_SIZE = 200


class Cursor(CursorPagination):
    page_size = PAGE_SIZE
    max_page_size = MAX_PAGE_SIZE
    page_size_query_param = "limit"
    ordering = "-id"


def page(
    request: Request, found: QuerySet[Any], shape: type[BaseSerializer[Any]], *, ordering: str = "-id", **context: Any
) -> Response:
    """Newest first unless told: {"next": address or null, "previous": address or null, "results": [...]}."""
    cursor = Cursor()
    cursor.ordering = ordering
    rows = cursor.paginate_queryset(found, request)
    return cursor.get_paginated_response(shape(rows, many=True, context=context).data)


def place(request: Request) -> tuple[int, int]:
    """Offset and length of the page that is asked for, of a list that no row is added to."""
    limit = _count(request.query_params.get("limit", "")) or PAGE_SIZE
    return _count(request.query_params.get("cursor", "")), min(limit, MAX_PAGE_SIZE)


def neighbours(request: Request, *, offset: int, limit: int, shown: int, total: int) -> dict[str, str | None]:
    """The addresses of the pages around the one at `offset`, as `page` names them."""
    address = request.build_absolute_uri()
    end = offset + shown
    return {
        "next": replace_query_param(address, "cursor", end) if shown and end < total else None,
        "previous": replace_query_param(address, "cursor", max(0, offset - limit)) if offset else None,
    }


def _count(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0
