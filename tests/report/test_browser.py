"""The page of the made-up run in a real browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from rehearsal.report import page
from rehearsal.report.model import Report
from tests.report import made_up

REPORT = Report.model_validate_json(made_up.FILE.read_text())
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# A projector's picture in pixels.
PROJECTOR = {"width": 1920, "height": 1080}
# What is on the page: the box of an element in pixels, and the colour that it is drawn in.
SEEN = "one => { const box = one.getBoundingClientRect(); return [box.left, box.right, box.width, box.height] }"
COLOUR = "one => getComputedStyle(one).stroke"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"no browser on PATH ({', '.join(BROWSERS)}): `apt-get install chromium`")
    with sync_playwright() as playwright:
        # As root Chromium runs without its sandbox, or not at all; the page is ours.
        opened = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def opened(browser: Browser, tmp_path: Path) -> Iterator[tuple[Page, list[str]]]:
    """The page, opened without network, and whatever the browser complained of or asked for beside the page itself."""
    complaints: list[str] = []
    file = page.write(made_up.FILE, tmp_path / "report.html")
    context = browser.new_context(viewport={"width": PROJECTOR["width"], "height": PROJECTOR["height"]}, offline=True)
    tab = context.new_page()
    tab.on("console", lambda message: complaints.append(f"console {message.type}: {message.text}"))
    tab.on("pageerror", lambda error: complaints.append(f"error: {error}"))
    tab.on("requestfailed", lambda request: complaints.append(f"not loaded: {request.url}"))
    tab.on(
        "request",
        lambda request: complaints.append(f"asked for: {request.url}") if request.url != file.as_uri() else None,
    )
    tab.goto(file.as_uri())
    yield tab, complaints
    context.close()


def test_the_browser_has_nothing_to_complain_of(opened: tuple[Page, list[str]]) -> None:
    """A page that is broken in the browser looks right to whoever only reads its text."""
    tab, complaints = opened
    assert tab.title().startswith("Rehearsal: PostgreSQL 15.18 to 17.6")
    assert complaints == []


def test_the_timeline_is_drawn(opened: tuple[Page, list[str]]) -> None:
    """A path that the browser cannot read, or that has no colour or height, leaves a white stripe without an error."""
    tab, _ = opened
    for picture in ("timeline-outage", "timeline-whole"):
        for lane in REPORT.traffic.lanes:
            drawn = tab.locator(f'#{picture} [data-lane="{lane.side} {lane.server} {lane.kind}"] path')
            wanted = [counts for counts in (lane.succeeded, lane.failed) if any(counts)]
            if picture == "timeline-whole":
                assert drawn.count() == len(wanted)
            for index in range(drawn.count()):
                _, _, width, height = drawn.nth(index).evaluate(SEEN)
                assert width > 0
                assert height > 1
        good = tab.locator(f"#{picture} path.succeeded").first.evaluate(COLOUR)
        bad = tab.locator(f"#{picture} path.failed").first.evaluate(COLOUR)
        assert len({good, bad, "none"}) == 3


def test_the_outage_on_the_screen_is_the_jsons(opened: tuple[Page, list[str]]) -> None:
    """Figure and shade: as long as the JSON says, on the same scale as the bars."""
    tab, _ = opened
    assert REPORT.window is not None
    said = tab.locator("#outage")
    assert float(said.get_attribute("data-seconds") or 0) == REPORT.window.seconds
    assert said.inner_text() == f"{REPORT.window.seconds:.1f} s"
    left, right, width, _ = tab.locator("#timeline-whole .outage").evaluate(SEEN)
    assert width > 0
    lane = next(lane for lane in REPORT.traffic.lanes if lane.side == "database")
    first = next(index for index, one in enumerate(lane.succeeded) if one)
    last = max(index for index, one in enumerate(lane.succeeded) if one)
    bars = tab.locator(f'#timeline-whole [data-lane="database {lane.server} {lane.kind}"] path.succeeded')
    bars_left, _, bars_width, _ = bars.evaluate(SEEN)
    bucket = bars_width / (last - first) if bars_width else 0
    begins = REPORT.traffic.began + first / 10
    assert left - bars_left == pytest.approx((REPORT.window.since - begins) * 10 * bucket, abs=1.5 * bucket)
    assert right - left == pytest.approx(REPORT.window.seconds * 10 * bucket, rel=0.03)


def test_nothing_runs_over_the_edge(opened: tuple[Page, list[str]]) -> None:
    """On a projector, on a laptop and on paper the page is as wide as what shows it."""
    tab, _ = opened
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    for width in (PROJECTOR["width"], 1280, 800):
        tab.set_viewport_size({"width": width, "height": 800})
        assert tab.evaluate(wide) == 0
    tab.emulate_media(media="print")
    assert tab.evaluate(wide) == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_can_be_read_in_both_schemes(opened: tuple[Page, list[str]], scheme: str) -> None:
    """Ink on paper by WCAG 2.1: 4.5 to 1 for text, 3 to 1 for what is drawn."""
    tab, _ = opened
    tab.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    paper = _colour(tab, "document.body", "backgroundColor")
    for selector, property_, least in (
        ("body", "color", 4.5),
        ("figcaption", "color", 4.5),
        ("svg .tick", "fill", 4.5),
        ("svg .phase-name", "fill", 4.5),
        (".diff .gone", "color", 4.5),
        (".diff .new", "color", 4.5),
        ("path.succeeded", "stroke", 3),
        ("path.failed", "stroke", 3),
        ("svg rect.step", "fill", 3),
        ("svg .outage-edge", "stroke", 3),
    ):
        seen = _colour(tab, f"document.querySelector({selector!r})", property_)
        assert contrast(seen, paper) >= least, f"{selector} in {scheme}: {seen} on {paper}"


def _colour(tab: Page, element: str, property_: str) -> tuple[int, ...]:
    said = str(tab.evaluate(f"getComputedStyle({element}).{property_}"))
    return tuple(int(part) for part in said[said.index("(") + 1 : -1].split(",")[:3])


def contrast(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    """WCAG 2.1's contrast ratio of two sRGB colours, 1 to 21."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: tuple[int, ...]) -> float:
    parts = [part / 255 for part in colour]
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
