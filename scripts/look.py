#!/usr/bin/env python3
"""Check every page without taste, and photograph it: `make look`.

Reads the templates, then opens each page as empty, running, full and failed, light and dark, 1440 and 375 wide, in
Chromium. Photographs and a contact sheet go to var/look/. Exits non-zero with a list of what is wrong.

    python scripts/look.py                      everything
    python scripts/look.py --static             the templates only, no browser
    python scripts/look.py --state full         one state
    python scripts/look.py --page styleguide    pages whose name contains this
"""

import argparse
import shutil
import sys
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.look_lib import static
from scripts.look_lib.page import SCHEMES, WIDTHS, Seen, Target, browser_context, look_at
from scripts.look_lib.sheet import write_sheet
from scripts.look_lib.site import ROOT, STATES, Site, running_site, unlisted_routes
from scripts.setup_lib.chromium import MISSING, find_chromium

FOLDER = ROOT / "var" / "look"
CHROMIUM_ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
PUBLIC_PAGES = (
    Target("styleguide", "/styleguide/"),
    Target("sign-in", "/sign-in/"),
    Target("link-spent", "/sign-in/link/spent/", status=410),
)


def chromium_path() -> str:
    """The browser that every check uses; ends with a sentence where there is none."""
    found = find_chromium()
    if not found:
        sys.exit(MISSING)
    return found


def signed_in_cookies(browser: Browser, login_url: str) -> list[Any]:
    """Use the one-time link once; the session serves every later context."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(login_url, wait_until="load")
    cookies: list[Any] = context.cookies()
    context.close()
    if not any(cookie["name"] == "sessionid" for cookie in cookies):
        sys.exit(f"The sign-in link did not sign in: {login_url}")
    return cookies


def photograph(
    browser: Browser, *, state: str, pages: list[Target], cookies: list[Any], broken: dict[str, int]
) -> list[Seen]:
    """Every page of one state in both schemes and widths, with its links followed once."""
    seen: list[Seen] = []
    for scheme in SCHEMES:
        for width in WIDTHS:
            with browser_context(browser, scheme=scheme, width=width, cookies=cookies) as context:
                for target in pages:
                    image = FOLDER / state / f"{target.name}-{scheme}-{width}.png"
                    each = look_at(context, Seen(target, state, scheme, width, image))
                    # A page links to its own parts; how it answers is judged already.
                    each.links = [link for link in each.links if link != target.url]
                    for link in each.links:
                        if link not in broken:
                            broken[link] = context.request.get(link).status
                    each.problems += [
                        f"link answers {broken[link]}: {link}" for link in each.links if broken[link] != 200
                    ]
                    seen.append(each)
                    print("." if not each.problems else f" {target.name}: {len(each.problems)} ", end="", flush=True)
    print(f" {state}")
    return seen


def look(site: Site, *, states: list[str], only: str) -> tuple[list[Seen], set[str]]:
    """Photograph the public pages and every state's pages; what was seen and which paths were listed."""
    seen: list[Seen] = []
    listed: set[str] = set()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=CHROMIUM_ARGUMENTS)
        public = [replace(page, url=site.base_url + page.url) for page in PUBLIC_PAGES]
        listed |= {page.url for page in PUBLIC_PAGES if page.status == 200}
        wanted = [page for page in public if only in page.name]
        if wanted:
            seen += photograph(browser, state="public", pages=wanted, cookies=[], broken={})
        for state in states:
            for person in site.state(state)["people"]:
                pages = [Target(**page) for page in person["pages"]]
                listed |= {urlsplit(page.url).path for page in pages if page.status == 200}
                wanted = [page for page in pages if only in page.name]
                if wanted:
                    cookies = signed_in_cookies(browser, person["login_url"])
                    seen += photograph(browser, state=state, pages=wanted, cookies=cookies, broken={})
        browser.close()
    return seen, listed


def report(seen: list[Seen], others: list[str]) -> int:
    """Print what is wrong, each problem once with where it was seen; the exit status."""
    places: dict[tuple[str, str], list[str]] = {}
    for each in seen:
        for problem in each.problems:
            places.setdefault((each.name, problem), []).append(f"{each.state}/{each.scheme}/{each.width}")
    for problem in others:
        print(problem)
    for (name, problem), where in places.items():
        print(f"{name}: {problem}  [{', '.join(where[:4])}{', …' if len(where) > 4 else ''}]")
    counts = Counter(bool(each.problems) for each in seen)
    print(f"{len(seen)} photographs, {counts[True]} with problems, {len(others)} problems elsewhere.")
    return 1 if others or counts[True] else 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Check and photograph every page.")
    parser.add_argument("--static", action="store_true", help="read the templates only")
    parser.add_argument("--state", choices=STATES, action="append", help="only this state (may be repeated)")
    parser.add_argument("--page", default="", help="only pages whose name contains this")
    options = parser.parse_args()
    others = static.problems()
    if options.static:
        return report([], others)
    states = options.state or list(STATES)
    if not options.page and not options.state:
        shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="llmopt-look-") as folder, running_site(Path(folder)) as site:
        seen, listed = look(site, states=states, only=options.page)
    if states == list(STATES):
        others += [f"a page that is not listed: /{route}" for route in unlisted_routes(listed)]
    if seen:
        print(f"Contact sheet: {write_sheet(FOLDER, seen).relative_to(ROOT)}")
    return report(seen, others)


if __name__ == "__main__":
    sys.exit(main())
