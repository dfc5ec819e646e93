"""Templates are made of components, and the checks that say so can fail."""

import re
from pathlib import Path

import pytest
from django.conf import settings
from django.template import engines
from django.template.loader import get_template
from django.test import Client

from scripts.look_lib import site, static

TEMPLATES = Path(settings.BASE_DIR) / "templates"
ALL = sorted(path.relative_to(TEMPLATES).as_posix() for path in TEMPLATES.rglob("*.html"))


def test_pages_use_components_and_layout_classes_only() -> None:
    assert static.problems() == []


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("<button>Go</button>", "raw <button>"),
        ("<table></table>", "raw <table>"),
        ('<input name="q">', "raw <input>"),
        ('<p style="color: red">x</p>', "inline style"),
        ('<a href="/" onclick="go()">x</a>', "inline event handler"),
        ("<script>go()</script>", "script without a nonce"),
        ('<p class="text-red-500">x</p>', "`text-red-500`"),
        ('<p class="mt-2 md:text-lg">x</p>', "`md:text-lg`"),
        ('<p class="shadow-lg">x</p>', "`shadow-lg`"),
        ('<p class="btn">x</p>', "`btn`"),
        ('<c-table caption="x" :rows="rows|slice:2" />', "filter in :rows"),
    ],
)
def test_what_a_page_may_not_do_is_found(
    source: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(static, "TEMPLATES", tmp_path)
    path = tmp_path / "page.html"
    path.write_text("\n" + source, encoding="utf-8")
    found = static.template_problems(path)
    assert len(found) == 1
    assert found[0].startswith("templates/page.html:2:")
    assert problem in found[0]


def test_layout_classes_components_and_comments_are_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(static, "TEMPLATES", tmp_path)
    path = tmp_path / "page.html"
    path.write_text(
        '{# <button> #}{% comment %}<table style="x">{% endcomment %}'
        '<div class="grid gap-4 lg:grid-cols-2 {% if wide %}w-full{% endif %}"><c-button>Go</c-button></div>'
        '{{ data|json_script:"x" }}<script type="application/json">{}</script>',
        encoding="utf-8",
    )
    assert static.template_problems(path) == []


def test_every_layout_class_is_in_the_stylesheet() -> None:
    stylesheet = (Path(settings.BASE_DIR) / "static" / "css" / "llmopt.css").read_text(encoding="utf-8")
    plain = stylesheet.replace("\\", "")
    missing = [name for name in static.layout_classes() if f".{name}" not in plain]
    assert missing == []


@pytest.mark.parametrize("name", ALL)
def test_every_template_compiles_with_its_components_resolved(name: str) -> None:
    template = get_template(name)
    assert "<c-" not in str(template.template.source)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ALL)
def test_no_short_comment_runs_over_a_line_break(name: str) -> None:
    # Django reads {# … #} within one line only; a longer one would be shown to the reader.
    source = (TEMPLATES / name).read_text(encoding="utf-8")
    assert not [line for line in source.splitlines() if line.count("{#") != line.count("#}")]


def test_components_and_partials_share_one_chain_of_loaders() -> None:
    loader = engines["django"].engine.loaders  # type: ignore[attr-defined]
    assert loader[0][0] == "template_partials.loader.Loader"
    assert loader[0][1][0][1][0] == "django_cotton.cotton_loader.Loader"


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/styleguide/", "/sign-in/", "/no-such-page/"])
def test_no_response_shows_a_component_that_was_not_rendered(client: Client, path: str) -> None:
    assert "<c-" not in client.get(path).content.decode()


@pytest.mark.django_db
def test_the_frame_has_no_inline_script_or_style_and_each_script_has_a_nonce(client: Client) -> None:
    body = client.get("/styleguide/").content.decode()
    scripts = re.findall(r"<script\b([^>]*)>", body)
    assert scripts
    assert all("nonce=" in script or "application/json" in script for script in scripts)
    assert " style=" not in body
    assert "<style" not in body
    assert '"includeIndicatorStyles": false' in body
    assert '"allowEval": false' in body


@pytest.mark.django_db
@pytest.mark.parametrize(("cookie", "attribute"), [("dark", ' data-theme="dark"'), ("light", ' data-theme="light"')])
def test_the_stored_theme_is_in_the_page_from_the_first_byte(client: Client, cookie: str, attribute: str) -> None:
    client.cookies["theme"] = cookie
    assert attribute in client.get("/styleguide/").content.decode().split("<head>")[0]


@pytest.mark.django_db
def test_an_invented_theme_is_ignored(client: Client) -> None:
    client.cookies["theme"] = '"><script>'
    assert "data-theme" not in client.get("/styleguide/").content.decode().split("<head>")[0]


def test_routes_with_a_page_that_are_not_listed_are_found() -> None:
    everything = {
        route.replace("<slug:team>", "demo").replace("<uuid:uid>", "u").replace("<int:number>", "1")
        for route in site.page_routes()
    }
    assert site.unlisted_routes(everything) == []
    assert site.unlisted_routes(everything - {"t/demo/jobs/"}) == ["t/<slug:team>/jobs/"]


def test_every_part_that_listens_to_events_also_asks_by_itself() -> None:
    triggers = {
        (name, trigger)
        for name in ALL
        for trigger in re.findall(r'hx-trigger="([^"]*sse:[^"]*)"', (TEMPLATES / name).read_text(encoding="utf-8"))
    }

    assert len(triggers) >= 12
    assert sorted(name for name, trigger in triggers if not re.search(r"every \d+s", trigger)) == []
