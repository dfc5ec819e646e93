"""Lists of the REST API: pages named by a cursor, which new rows do not shift."""

from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.pagination import Cursor as Position
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.utils.urls import replace_query_param

from apps.core.api.shapes import QuerySerializer

PAGE_SIZE = 50
MAX_PAGE_SIZE = 200
# Digits of the largest key that a database holds.
_KEY_DIGITS = 19
_NO_PAGE = _("There is no page at this cursor. Take it from `next` or `previous`, or leave it out.")


class PageQuery(QuerySerializer):
    cursor = serializers.CharField(required=False, help_text="As in `next` and `previous` of a page.")
    limit = serializers.IntegerField(
        required=False, min_value=1, max_value=MAX_PAGE_SIZE, help_text=f"Rows of a page, {PAGE_SIZE} unless told."
    )


class Cursor(CursorPagination):
    ordering = "-id"
    invalid_cursor_message = _NO_PAGE  # type: ignore[assignment]  # a text in the reader's language

    def get_page_size(self, request: Request) -> int:
        return int(PageQuery.asked(request).get("limit", PAGE_SIZE))

    def decode_cursor(self, request: Request) -> Position | None:
        """NotFound for one that nobody was given: every list is ordered by a whole number."""
        found = super().decode_cursor(request)
        if found is not None and found.position is not None and _count(str(found.position), _KEY_DIGITS) is None:
            raise NotFound(self.invalid_cursor_message)
        return found


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
    asked = PageQuery.asked(request)
    offset = _count(asked.get("cursor", "0"), 9)
    if offset is None:
        raise NotFound(_NO_PAGE)
    return offset, asked.get("limit", PAGE_SIZE)


def neighbours(request: Request, *, offset: int, limit: int, shown: int, total: int) -> dict[str, str | None]:
    """The addresses of the pages around the one at `offset`, as `page` names them."""
    address = request.build_absolute_uri()
    end = offset + shown
    return {
        "next": replace_query_param(address, "cursor", end) if shown and end < total else None,
        "previous": replace_query_param(address, "cursor", max(0, offset - limit)) if offset else None,
    }


def _count(text: str, digits: int) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= digits else None
