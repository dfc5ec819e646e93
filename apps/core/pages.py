"""Rendering a page, or the part of it that htmx asks for: one URL, one template for both."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.cache import patch_vary_headers


def render_page(
    request: HttpRequest, template: str, context: dict[str, Any], *, parts: tuple[str, ...] = (), status: int = 200
) -> HttpResponse:
    """Render `template`, or its partial `?part=<name>` for an htmx request that names one of `parts`."""
    part = request.GET.get("part", "")
    # Restoring a page from history needs the whole of it, whatever was last swapped in.
    partial = bool(request.htmx) and not request.htmx.history_restore_request and part in parts  # type: ignore[attr-defined]
    response = render(request, f"{template}#{part}" if partial else template, context, status=status)
    patch_vary_headers(response, ["HX-Request"])
    return response


def page_number(request: HttpRequest) -> int:
    """The page that `?page=` asks for; the first when it is no sensible number."""
    text = request.GET.get("page", "1")
    return max(int(text), 1) if text.isdecimal() and len(text) < 7 else 1


def already_shown(request: HttpRequest, what: str) -> bool:
    """Whether the open page shows `what` already, as it says in `?seen=`: then 204 leaves it alone."""
    return bool(request.htmx) and request.GET.get("seen") == what  # type: ignore[attr-defined]
