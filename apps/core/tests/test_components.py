"""The component kit: every component is shown, documented, readable in both themes and safe with hostile text."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from django.conf import settings
from django.core.paginator import Paginator
from django.forms import CharField, EmailField, Form
from django.template import Context, RequestContext, Template
from django.test import Client, RequestFactory
from django.utils import timezone
from django_cotton.compiler_regex import CottonCompiler

from apps.core import formats, textdiff
from apps.core.templatetags import llmopt_ui
from apps.core.templatetags.ui_states import STATES, state_look
from scripts import build_assets

ROOT = Path(settings.BASE_DIR)
KIT = ROOT / "templates" / "cotton"
COMPONENTS = sorted(path.stem.replace("_", "-") for path in KIT.glob("*.html") if not path.name.startswith("_"))


def render(source: str, **context: object) -> str:
    request = RequestFactory().get("/page/?sort=-cost&q=a")
    return Template(CottonCompiler().process("{% load llmopt_ui %}" + source)).render(RequestContext(request, context))


@pytest.mark.parametrize("name", COMPONENTS)
def test_every_component_is_shown_in_the_style_guide_or_used_by_one_that_is(name: str) -> None:
    sources = [
        *(ROOT / "templates" / "styleguide").glob("*.html"),
        *KIT.glob("*.html"),
        ROOT / "templates" / "base.html",
    ]
    users = [path for path in sources if path.stem.replace("_", "-") != name and f"<c-{name}" in path.read_text()]
    # A part that loads by itself has no sample URL to load; its states are the skeleton and the error.
    assert users or name in {"icon", "panel"}


@pytest.mark.parametrize("name", COMPONENTS)
def test_every_component_says_what_it_takes_and_stands_in_the_documentation(name: str) -> None:
    source = (KIT / f"{name.replace('-', '_')}.html").read_text(encoding="utf-8")
    assert source.startswith("{% comment %}\n")
    assert f"`c-{name}`" in (ROOT / "docs" / "components.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", COMPONENTS)
def test_every_declared_attribute_is_documented_at_the_top_of_its_component(name: str) -> None:
    source = (KIT / f"{name.replace('-', '_')}.html").read_text(encoding="utf-8")
    comment, _, rest = source.partition("{% endcomment %}")
    declared = re.search(r"<c-vars ([^/]*)/>", rest)
    names = re.findall(r":?([a-z_]+)=", declared.group(1)) if declared else []
    undocumented = [each for each in names if each not in comment]
    assert not undocumented


@pytest.mark.django_db
def test_the_style_guide_renders_every_component(client: Client) -> None:
    response = client.get("/styleguide/")
    body = response.content.decode()
    assert response.status_code == 200
    assert not re.findall(r"<c-|\{%|\{\{|\{#", body)
    assert body.count("<h1") == 1
    assert body.count("data-primary") == 1
    assert all(f">{look.label}</span>" in body for look in STATES.values())


def test_attributes_that_a_component_does_not_know_are_escaped() -> None:
    html = render('<c-button :title="hostile" data-x="{{ hostile }}">Go</c-button>', hostile='" onclick="x()" a="')
    assert 'onclick="x()"' not in html
    assert html.count("&quot; onclick=") == 2


def test_hostile_text_stays_text_in_every_place_that_takes_words() -> None:
    hostile = "<script>alert(1)</script>"
    html = render(
        '<c-note :title="t">{{ t }}</c-note><c-code>{{ t }}</c-code><c-diff :expected="t" output="{{ t }} x" />'
        '<c-empty :title="t" /><c-error :title="t" :kept="t" :todo="t" /><c-badge :label="t" />'
        "<c-toast>{{ t }}</c-toast>"
        '<c-stat :label="t" :value="t" :method="t" /><c-table :caption="t" :empty="t" /><c-tip :text="t" />'
        '<c-chart id="x" :title="t" :figure="f" />',
        t=hostile,
        f={"data": [{"name": hostile}]},
    )
    assert "<script>alert" not in html
    assert "&lt;script&gt;" in html


def test_a_difference_of_text_that_came_through_an_attribute_shows_it_as_typed() -> None:
    html = render('<c-diff expected="{{ a }}" output="{{ b }}" kind="words" />', a='say "a"', b='say "b"')
    assert "&amp;quot;" not in html
    assert "<del>a</del><ins>b</ins>" in html


class Sample(Form):
    name = CharField()
    email = EmailField()


def test_a_form_with_errors_sums_them_up_links_to_the_fields_and_keeps_what_was_typed() -> None:
    html = render('<c-form :form="form" submit="Save" />', form=Sample({"name": "Kept", "email": "wrong"}))
    assert 'role="alert"' in html
    assert 'href="#id_email"' in html
    assert 'value="Kept"' in html
    assert 'value="wrong"' in html
    assert html.count('aria-invalid="true"') == 1
    assert 'aria-describedby="id_email-error"' in html
    assert 'id="id_email-error"' in html
    assert "csrfmiddlewaretoken" in html


def test_a_table_without_rows_says_so_and_one_that_loads_does_not() -> None:
    empty = render('<c-table caption="Runs" empty="No runs yet." />')
    loading = render('<c-table caption="Runs" empty="No runs yet." loading />')
    filled = render('<c-table caption="Runs" empty="No runs yet."><c-row><c-cell>1</c-cell></c-row></c-table>')
    assert "No runs yet." in empty
    assert "No runs yet." not in loading
    assert "skeleton" in loading
    assert "No runs yet." not in filled
    assert "<td" in filled


def test_a_sorted_header_says_its_direction_and_reverses_with_the_query_kept() -> None:
    columns = [{"label": "Cost", "sort": "cost"}, {"label": "Name", "sort": "name"}]
    html = render('<c-table caption="Runs" :columns="columns" sorted="-name" />', columns=columns)
    assert html.count('aria-sort="descending"') == 1
    assert 'href="?sort=cost&amp;q=a"' in html
    assert 'href="?sort=-name&amp;q=a"' in html


def test_a_pager_names_the_rows_and_keeps_the_query() -> None:
    page = Paginator(range(223), 50).get_page(2)
    context = Context({"request": RequestFactory().get("/rows/?split=test")})
    assert llmopt_ui.pager(context, page) == {
        "text": "51–100 of 223",
        "previous": "?split=test&page=1",
        "next": "?split=test&page=3",
    }


def test_a_list_without_rows_says_so_once_and_has_no_pager() -> None:
    page = Paginator([], 50).get_page(1)
    template = '{% pager page as pages %}<c-table caption="Jobs" :pager="pages" empty="No job fits." />'
    html = render(template, page=page)
    assert "No job fits." in html
    assert "pager" not in html
    assert "0–0" not in html


def test_a_chart_without_points_or_with_an_error_draws_no_plot() -> None:
    assert "data-chart" not in render('<c-chart id="a" title="Loss" :figure="f" />', f={"data": []})
    assert "data-chart" not in render('<c-chart id="a" title="Loss" :figure="f" error="Broken" />', f={"data": [1]})
    assert 'data-chart="a-figure"' in render('<c-chart id="a" title="Loss" :figure="f" />', f={"data": [{"x": [1]}]})


def test_unknown_progress_shows_no_share_of_the_work() -> None:
    known = render('<c-progress phase="Training" :done="3" :total="9" />')
    unknown = render('<c-progress phase="Training" :done="3" :total="0" />')
    assert 'max="9" value="3"' in known
    assert "max=" not in unknown
    assert "not known yet" in unknown


@pytest.mark.parametrize(
    ("nanousd", "digits", "text"),
    [
        (0, None, "$0.00"),
        (1, None, "$0.000000001"),
        (1_234, None, "$0.0000012"),
        (61_000_000, None, "$0.061"),
        (100_000_000, None, "$0.10"),
        (12_345_000_000, None, "$12.35"),
        (1_234_567_890_123, None, "$1,234.57"),
        (-5_000_000, None, "\u2212$0.0050"),
        (4_000_000, 2, "<\u00a0$0.01"),
        (5_000_000, 2, "$0.01"),
        (None, None, "–"),
    ],
)
def test_money_never_reads_as_zero_unless_it_is(nanousd: int | None, digits: int | None, text: str) -> None:
    assert formats.money_text(nanousd, digits) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.42, "420 ms"),
        (3.44, "3.4 s"),
        (9.96, "10 s"),
        (59.6, "1 min"),
        (365, "6 min 5 s"),
        (8040, "2 h 14 min"),
        (3600, "1 h"),
        (273_600, "3 d 4 h"),
        (None, "–"),
        (float("nan"), "–"),
    ],
)
def test_durations_use_two_units_at_most(seconds: float | None, text: str) -> None:
    assert formats.duration_text(seconds) == text


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [(125, 172, "2–3 min"), (10, 40, "10–40 s"), (40, 100, "0–2 min"), (4000, 9000, "1–3 h"), (5, 5, "5 s")],
)
def test_a_time_left_is_a_range_that_covers_its_ends(low: float, high: float, text: str) -> None:
    assert formats.duration_range_text(low, high) == text


def test_numbers_keep_their_decimals_and_their_sign() -> None:
    assert formats.number_text(0.7, 3) == "0.700"
    assert formats.number_text(Decimal("0.0005"), 3, signed=True) == "+0.001"
    assert formats.number_text(-0.1234, 2, signed=True) == "\u22120.12"
    assert formats.number_text(float("nan")) == "–"
    assert formats.percent_text(0.4933) == "49.3\u00a0%"
    assert formats.size_text(1_500_041) == "1.5\u00a0MB"


def test_relative_times_look_both_ways() -> None:
    now = timezone.now()
    assert llmopt_ui.relative_time(now - timedelta(minutes=3, seconds=1)) == "3 min ago"
    assert llmopt_ui.relative_time(now + timedelta(hours=2, seconds=30)) == "in 2 h"
    assert llmopt_ui.relative_time(None) == "–"


def test_a_moment_is_machine_readable_and_shown_in_the_active_zone() -> None:
    with timezone.override("America/New_York"):
        html = render('<c-when :at="at" mode="absolute" />', at=datetime(2026, 11, 20, 2, 5, tzinfo=UTC))
    assert 'datetime="2026-11-20T02:05:00+00:00"' in html
    assert "19 Nov 2026, 21:05" in html


def test_field_differences_name_what_is_missing_changed_and_extra() -> None:
    found = textdiff.field_differences('{"a": 1.0, "b": "x", "c": "y"}', '{"a": 1, "b": "x", "d": "z"}')
    assert found is not None
    assert [(each.name, each.state) for each in found] == [
        ("a", "changed"),
        ("b", "same"),
        ("c", "missing"),
        ("d", "extra"),
    ]
    assert textdiff.field_differences('{"a": 1}', "no JSON") is None


def test_word_differences_rebuild_both_sides() -> None:
    expected, output = "Please leave at the back gate", "Leave at the front gate please"
    pieces = textdiff.word_pieces(expected, output)
    assert "".join(piece.text for piece in pieces if piece.kind != "added") == expected
    assert "".join(piece.text for piece in pieces if piece.kind != "removed") == output


def test_a_state_that_the_table_lacks_is_shown_under_its_own_name() -> None:
    assert state_look("half_done").label == "Half done"
    assert state_look(None).label == STATES["unknown"].label


def test_a_whisker_outside_its_axis_stays_on_it() -> None:
    mark = llmopt_ui.whisker(1.4, 0.25, 2, 0, 1, None)
    assert (mark.value, mark.low, mark.high, mark.line) == (98.0, 26.0, 98.0, None)


def tokens() -> dict[str, tuple[str, str]]:
    text = (ROOT / "static" / "src" / "tokens.css").read_text(encoding="utf-8")
    return {
        name: (light, dark) for name, light, dark in re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)", text)
    }


def luminance(colour: str) -> float:
    """Relative luminance, WCAG 2.2."""
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


BACKGROUNDS = ("bg", "bg-side", "bg-soft", "bg-hover", "bg-raised")
TEXT_PAIRS = [
    *((text, ground) for text in ("text", "text-soft", "accent") for ground in BACKGROUNDS),
    *((tone, ground) for tone in ("good", "warning", "bad") for ground in ("bg", "bg-soft", "bg-raised")),
    *((tone, f"{tone}-soft") for tone in ("accent", "good", "warning", "bad")),
    ("text", "accent-soft"),
    ("text-soft", "accent-soft"),
    ("on-accent", "accent"),
    ("on-accent", "accent-strong"),
    ("on-bad", "bad"),
]


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(("text", "ground"), TEXT_PAIRS)
def test_text_has_the_contrast_of_level_aa(text: str, ground: str, theme: int) -> None:
    assert contrast(tokens()[text][theme], tokens()[ground][theme]) >= 4.5


MARKS = ["line-strong", "accent", "series-reference", *(f"series-{n}" for n in range(1, 6))]


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("mark", MARKS)
def test_borders_of_controls_and_lines_of_charts_stand_out_from_the_page(mark: str, theme: int) -> None:
    assert contrast(tokens()[mark][theme], tokens()["bg"][theme]) >= 3.0


def test_the_committed_assets_match_their_sources() -> None:
    assert build_assets.problems() == []
