"""Lists of the REST API: pages named by a cursor, which new rows do not shift."""

from typing import Any

from django.db.models import QuerySet
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer


class Cursor(CursorPagination):
    page_size = 50
    max_page_size = 200
    page_size_query_param = "limit"
    ordering = "-id"


def page(request: Request, found: QuerySet[Any], shape: type[BaseSerializer[Any]], **context: Any) -> Response:
    """Newest first: {"next": address or null, "previous": address or null, "results": [...]}."""
    cursor = Cursor()
    rows = cursor.paginate_queryset(found, request)
    return cursor.get_paginated_response(shape(rows, many=True, context=context).data)
