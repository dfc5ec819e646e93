"""Opening one page in the browser and listing what is wrong with it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Error, Page, Response

SCHEMES = ("light", "dark")
WIDTHS = {1440: 900, 375: 812}
MOST_SHIFT = 0.05
SETTLE_MS = 350
PAGE_SCRIPT = (Path(__file__).with_name("page.js")).read_text(encoding="utf-8").split("\n", 1)[1].strip()
# Set before the page's own scripts: layout shifts without an input, and what the content security policy refused.
WATCH_SCRIPT = """
window.lookShift = 0; window.lookViolations = [];
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.lookShift += entry.value;
}).observe({ type: "layout-shift", buffered: true });
document.addEventListener("securitypolicyviolation", (event) => {
  window.lookViolations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`);
});
"""
CHARTS_DRAWN = "() => !document.querySelector('[data-chart]:not([data-drawn])')"


@dataclass(frozen=True)
class Target:
    """A page to look at: the status that is right for it, and a selector of what to press first."""

    name: str
    url: str
    status: int = 200
    press: str = ""


@dataclass
class Seen:
    """One page at one width in one scheme."""

    target: Target
    state: str
    scheme: str
    width: int
    image: Path
    problems: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.target.name


@contextmanager
def browser_context(browser: Browser, *, scheme: str, width: int, cookies: list[Any]) -> Iterator[BrowserContext]:
    """A fresh profile of one width and scheme, signed in with these cookies."""
    context = browser.new_context(
        viewport={"width": width, "height": WIDTHS[width]},
        color_scheme="dark" if scheme == "dark" else "light",
        reduced_motion="reduce",
    )
    context.add_init_script(WATCH_SCRIPT)
    context.add_cookies(cookies)
    try:
        yield context
    finally:
        context.close()


def look_at(context: BrowserContext, seen: Seen) -> Seen:
    """Open the page, photograph it and fill in its problems and links."""
    page = context.new_page()
    noises = _listen(page, seen.target.status)
    try:
        response = _open(page, seen.target)
        if response is None or response.status != seen.target.status:
            seen.problems.append(f"answered {response.status if response else 'nothing'}")
        page.wait_for_function(CHARTS_DRAWN, timeout=15_000)
        page.wait_for_timeout(SETTLE_MS)
        facts = page.evaluate(PAGE_SCRIPT)
        seen.links = facts["links"]
        seen.problems += _judge(facts) + _axe(page) + noises
        seen.image.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=seen.image, full_page=True, animations="disabled")
    except Error as error:
        seen.problems.append(f"could not be looked at: {error.message.splitlines()[0]}")
    finally:
        page.close()
    return seen


def _open(page: Page, target: Target) -> Response | None:
    response = page.goto(target.url, wait_until="load", timeout=30_000)
    if target.press:
        with page.expect_navigation(wait_until="load") as navigation:
            page.locator(target.press).first.click()
        response = navigation.value
    return response


def _listen(page: Page, status: int) -> list[str]:
    """What goes wrong while the page is open. Its own answer with `status` does not; the browser notes it as well."""
    noises: list[str] = []

    def on_console(message: ConsoleMessage) -> None:
        expected = status >= 400 and f"with a status of {status}" in message.text
        if message.type in ("error", "warning") and not expected:
            noises.append(f"console {message.type}: {message.text[:200]}")

    def on_response(response: Response) -> None:
        if response.status >= 400 and not (response.status == status and response.request.is_navigation_request()):
            noises.append(f"{response.status} for {response.url}")

    page.on("console", on_console)
    page.on("pageerror", lambda error: noises.append(f"script error: {error.message[:200]}"))
    page.on("response", on_response)
    page.on("requestfailed", lambda request: noises.append(f"request failed: {request.url} ({request.failure})"))
    return noises


def _judge(facts: dict[str, Any]) -> list[str]:
    problems = []
    if facts["wide"] > 0:
        problems.append(f"scrolls sideways by {facts['wide']} px: {', '.join(facts['beyond'])}")
    if facts["h1"] != 1:
        problems.append(f"{facts['h1']} h1 elements")
    if len(facts["primary"]) > 1:
        problems.append(f"{len(facts['primary'])} primary actions: {', '.join(facts['primary'])}")
    if facts["shift"] >= MOST_SHIFT:
        problems.append(f"layout shift {facts['shift']:.3f}")
    if facts["untranslated"]:
        problems.append("a component was not rendered (<c- in the page)")
    if facts["failedCharts"]:
        problems.append(f"{facts['failedCharts']} charts could not be drawn")
    if not facts["lang"]:
        problems.append("no language on <html>")
    problems += [f"text under 12 px: {text}" for text in facts["small"][:5]]
    problems += [f"target under 24 px: {target}" for target in facts["tight"][:8]]
    problems += [f"link to a missing part: #{name}" for name in facts["fragments"]]
    problems += [f"id used twice: {name}" for name in sorted(set(facts["repeated"]))]
    problems += [f"content security policy: {violation}" for violation in facts["violations"]]
    return problems


def _axe(page: Page) -> list[str]:
    problems = []
    for violation in Axe().run(page).response["violations"]:
        targets = [", ".join(map(str, node["target"])) for node in violation["nodes"][:4]]
        problems.append(f"axe {violation['id']} ({violation['impact']}): {' | '.join(targets)}")
        problems += [f"    {line.strip()}" for line in _axe_reasons(violation)]
    return problems


def _axe_reasons(violation: dict[str, Any]) -> list[str]:
    reasons = [check["message"] for node in violation["nodes"][:4] for check in node["any"] + node["all"]]
    return list(dict.fromkeys(reasons))[:4]
