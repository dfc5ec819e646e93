"""Filters and tags behind the components: figures in words, icons, states, differences, sorting and paging."""

import html
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import lucide
from django import template
from django.core.paginator import Page
from django.http import HttpRequest
from django.template import Context
from django.utils import timezone
from django.utils.html import conditional_escape, format_html, json_script, strip_tags
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _

from apps.core import formats, textdiff
from apps.core.jobs import phase_text
from apps.core.templatetags.ui_states import StateLook, state_look

register = template.Library()

register.filter("count", formats.count_text)
register.filter("percent", formats.percent_text)
register.filter("money", formats.money_text)
register.filter("duration", formats.duration_text)
register.filter("filesize_si", formats.size_text)


@register.filter
def number(value: float | None, digits: int | str = 3) -> str:
    """A number with fixed decimals."""
    return formats.number_text(value, int(digits))


@register.filter
def signed(value: float | None, digits: int | str = 3) -> str:
    """A number that carries its sign: a difference."""
    return formats.number_text(value, int(digits), signed=True)


@register.filter
def phase_of(phase: str, kind: str) -> str:
    """A phase of a kind of job in words."""
    return phase_text(kind, phase)


@register.filter
def has_content(slot: str | None) -> bool:
    """Whether a slot holds anything that would be seen."""
    return bool(slot and (strip_tags(slot).strip() or "<svg" in slot or "<input" in slot or "hx-get" in slot))


@register.filter
def state(value: object) -> StateLook:
    """The label, tone and icon of a state."""
    return state_look(value)


@lru_cache(maxsize=256)
def _icon_svg(name: str, size: int) -> str:
    return lucide._render_icon(name, size, **{"class": "icon", "aria-hidden": "true", "focusable": "false"})


@register.simple_tag
def icon(name: str, size: int | str = 16, label: str = "") -> SafeString:
    """A lucide icon as inline SVG; with a label it is an image for screen readers, else decoration."""
    svg = mark_safe(_icon_svg(str(name), int(size)))  # noqa: S308 - drawn from the icon package, no user text in it
    if not label:
        return svg
    return format_html('<span role="img" aria-label="{}" class="icon-labelled">{}</span>', label, svg)


@register.simple_tag
def attrs_html(attrs: Mapping[str, Any]) -> SafeString:
    """A component's remaining attributes, each quoted and escaped; False and None leave the attribute out."""
    source = attrs.attrs_dict() if hasattr(attrs, "attrs_dict") else attrs
    parts: list[str] = []
    for name, value in source.items():
        if name in ("class", "is") or value is None or value is False:
            continue
        if value is True:
            parts.append(str(conditional_escape(name)))
        else:
            # A rendered attribute is already escaped but may hold a bare quotation mark.
            parts.append(f'{conditional_escape(name)}="{str(conditional_escape(value)).replace(chr(34), "&quot;")}"')
    return mark_safe(" ".join(parts))  # noqa: S308 - every name and value was escaped above


@register.simple_tag
def money_range(low: int | None, high: int | None) -> str:
    """Two amounts of nano-dollars as a range."""
    return formats.money_range_text(low, high)


@register.simple_tag
def duration_range(low: float | None, high: float | None) -> str:
    """Two numbers of seconds as a range."""
    return formats.duration_range_text(low, high)


@register.filter
def relative_time(at: datetime | None) -> str:
    """How long ago, or in how long, in one unit."""
    if at is None:
        return formats.MISSING
    seconds = (timezone.now() - at).total_seconds()
    ahead, seconds = seconds < 0, abs(seconds)
    if seconds < 5:
        return _("now")
    for size, text in ((86400 * 2, _("%(n)s d")), (3600, _("%(n)s h")), (60, _("%(n)s min")), (1, _("%(n)s s"))):
        if seconds >= size:
            amount = text % {"n": int(seconds // (86400 if size > 3600 else size))}
            return _("in %(time)s") % {"time": amount} if ahead else _("%(time)s ago") % {"time": amount}
    return _("now")


@register.filter
def utc_iso(at: datetime) -> str:
    """The machine-readable instant."""
    return at.astimezone(UTC).isoformat(timespec="seconds")


def _plain(text: str | None) -> str:
    """The text itself; one that came through an attribute in the template was escaped on the way."""
    return html.unescape(text) if isinstance(text, SafeString) else str(text or "")


@register.simple_tag
def word_diff(expected: str | None, output: str | None) -> list[textdiff.Piece]:
    """The words that differ between two texts."""
    return textdiff.word_pieces(_plain(expected), _plain(output))


@register.simple_tag
def field_diff(expected: str | None, output: str | None) -> list[textdiff.FieldDifference] | None:
    """The fields that differ between two JSON objects, or None when either is not one."""
    return textdiff.field_differences(_plain(expected), _plain(output))


@dataclass(frozen=True, slots=True)
class Whisker:
    """Positions on the 0–100 axis of an interval's drawing."""

    value: float | None
    low: float | None
    high: float | None
    line: float | None


@register.simple_tag
def whisker(value: Any, low: Any, high: Any, minimum: Any, maximum: Any, line: Any = None) -> Whisker:
    """Where an interval's marks stand between ``minimum`` and ``maximum``; what lies outside is clipped to the edge."""
    start, end = float(minimum), float(maximum)

    def place(figure: Any) -> float | None:
        if figure is None or figure == "" or not math.isfinite(float(figure)):
            return None
        share = (float(figure) - start) / (end - start) if end > start else 0.5
        return round(2 + 96 * min(max(share, 0.0), 1.0), 2)

    return Whisker(place(value), place(low), place(high), place(line))


@dataclass(frozen=True, slots=True)
class UsedShare:
    """Widths on the 0–100 axis of a budget's bar; `limit` is None where nothing passes it. `share` is of the limit."""

    spent: float
    held: float
    limit: float | None
    share: float


@register.simple_tag
def used_share(spent: int, held: int, limit: int) -> UsedShare:
    """How much of a limit is spent and held. What passes the limit is drawn beyond its mark."""
    whole = max(limit, spent + held, 1)
    mark = round(100 * limit / whole, 2) if spent + held > limit else None
    return UsedShare(round(100 * spent / whole, 2), round(100 * held / whole, 2), mark, (spent + held) / max(limit, 1))


@dataclass(frozen=True, slots=True)
class SortLink:
    """A sortable header: where it leads and what it says now (``ascending``, ``descending`` or nothing)."""

    url: str
    direction: str


@register.simple_tag(takes_context=True)
def sort_link(context: Context, key: str, default: str = "") -> SortLink:
    """The link of a sortable column; pressing the sorted column reverses it, any other starts descending."""
    request: HttpRequest | None = context.get("request")
    query = request.GET.copy() if request is not None else None
    current = (query.get("sort") if query is not None else None) or default
    direction = {key: "ascending", f"-{key}": "descending"}.get(current, "")
    target = key if direction == "descending" else f"-{key}"
    if query is None:
        return SortLink(f"?sort={target}", direction)
    query["sort"] = target
    query.pop("page", None)
    return SortLink(f"?{query.urlencode()}", direction)


@register.simple_tag(takes_context=True)
def pager(context: Context, page: Page[Any]) -> dict[str, str | None] | None:
    """The pager of a Django page: which rows of how many, and the neighbours' links with the query kept.

    None for a list without rows, whose own sentence says so.
    """
    if not page.paginator.count:
        return None
    request: HttpRequest | None = context.get("request")

    def link(number: int) -> str:
        if request is None:
            return f"?page={number}"
        query = request.GET.copy()
        query["page"] = str(number)
        return f"?{query.urlencode()}"

    total = formats.count_text(page.paginator.count)
    rows = f"{formats.count_text(page.start_index())}–{formats.count_text(page.end_index())}"
    return {
        "text": _("%(rows)s of %(total)s") % {"rows": rows, "total": total},
        "previous": link(page.previous_page_number()) if page.has_previous() else None,
        "next": link(page.next_page_number()) if page.has_next() else None,
    }


@register.simple_tag
def progress_text(done: int | None, total: int | None) -> str:
    """``34 of 223``; with work left it never reads as complete. Nothing for a job that counts nothing."""
    if done is None or not (done or total):
        return ""
    if not total:
        return formats.count_text(done)
    return _("%(done)s of %(total)s") % {"done": formats.count_text(done), "total": formats.count_text(total)}


@register.filter
def chart_data(figure: Mapping[str, Any], chart_id: str) -> SafeString:
    """The figure as inert JSON beside the chart that reads it."""
    return json_script(figure, f"{chart_id}-figure")


@register.filter
def column_numeric(columns: list[dict[str, Any]], index: int) -> bool:
    """Whether the column at this position holds numbers."""
    return bool(columns[index].get("numeric")) if index < len(columns) else False


@register.filter
def unlocalised(value: float) -> str:
    """A number for an HTML attribute, whatever the language."""
    return str(value)


@register.simple_tag
def steps(count: int | str) -> range:
    """Numbers to repeat something by, for placeholders."""
    return range(int(count))


@register.filter
def field_kind(bound: Any) -> str:
    """Which control a bound field needs: checkbox, select, textarea, radio, file, hidden or the input's type."""
    widget = bound.field.widget
    name = type(widget).__name__.lower()
    for kind in ("checkboxselectmultiple", "checkbox", "radio", "select", "textarea"):
        if name.startswith(kind):
            return kind
    return str(getattr(widget, "input_type", "text"))


@register.simple_tag
def bound_control(bound: Any) -> SafeString:
    """A bound field's own widget, tied to its help and error text and styled as the kit's control."""
    described = [f"{bound.auto_id}-help"] if bound.help_text else []
    if bound.errors:
        described.append(f"{bound.auto_id}-error")
    attrs: dict[str, Any] = {"class": "control"}
    if described:
        attrs["aria-describedby"] = " ".join(described)
    if bound.errors:
        attrs["aria-invalid"] = "true"
    return SafeString(bound.as_widget(attrs=attrs))
