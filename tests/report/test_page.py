"""The page of the made-up run, read as text: what it says and draws is what the JSON holds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from rehearsal.drill.drill import Drilled
from rehearsal.drill.story import Row
from rehearsal.report import page, timeline
from rehearsal.report.__main__ import main
from rehearsal.report.model import Preview, Report
from tests.report import made_up
from tests.report.drawn import Page

REPORT = Report.model_validate_json(made_up.FILE.read_text())


@pytest.fixture(scope="module")
def seen() -> Page:
    return Page(page.html(REPORT))


def test_the_outage_is_the_jsons(seen: Page) -> None:
    """The one figure that everybody takes home, wherever it stands."""
    assert REPORT.window is not None
    assert seen.outage == (REPORT.window.seconds, f"{REPORT.window.seconds:.1f} s")
    assert seen.shades == {"timeline-outage": REPORT.window.seconds, "timeline-whole": REPORT.window.seconds}


def test_the_rehearsals_own_share_of_the_outage() -> None:
    """Of a preview that began before the outage only the rest counts; one after it not at all."""
    assert REPORT.window is not None
    since, end = REPORT.window.since, REPORT.window.since + REPORT.window.seconds
    spans = [(since - 1, since + 0.25), (since + 1, since + 2), (end - 0.5, end + 9), (end + 1, end + 2), (0, since)]
    previews = [Preview(began=began, ended=ended, text="") for began, ended in spans]
    assert page.within(REPORT, previews) == pytest.approx(1.75)


def test_every_bucket_is_drawn(seen: Page) -> None:
    """A failure that is in the JSON and not in the picture would be found by nobody."""
    drawn = seen.lanes["timeline-whole"]
    assert len(drawn) == len(REPORT.traffic.lanes)
    for lane in REPORT.traffic.lanes:
        bars = drawn[f"{lane.side} {lane.server} {lane.kind}"]
        assert bars["succeeded"] == {index: one for index, one in enumerate(lane.succeeded) if one}
        assert bars["failed"] == {index: -one for index, one in enumerate(lane.failed) if one}


def test_the_close_up_shows_the_whole_outage(seen: Page) -> None:
    """Of the buckets between the first refusal and the last end none may be cut off."""
    assert REPORT.window is not None
    first = int((REPORT.window.since - REPORT.traffic.began) * 10) - 20
    last = int((REPORT.window.since + REPORT.window.seconds - REPORT.traffic.began) * 10) + 20
    for lane in REPORT.traffic.lanes:
        bars = seen.lanes["timeline-outage"][f"{lane.side} {lane.server} {lane.kind}"]
        wanted = {index: one for index, one in enumerate(lane.succeeded) if one and first <= index <= last}
        assert {index: one for index, one in bars["succeeded"].items() if first <= index <= last} == wanted


def test_the_page_stands_alone(seen: Page) -> None:
    """On the projector's machine there may be no network: nothing is fetched, and no program runs."""
    assert all(one.startswith("data:") for one in seen.loaded)
    assert not {"script", "img", "iframe", "object"} & set(seen.tags)
    html = page.html(REPORT)
    assert not re.findall(r"@import|https?://|url\((?!#)", html)


def test_previews_are_as_they_were(seen: Page) -> None:
    """What was made bold, or looked like a tag, must still be the engine's own text."""
    assert seen.previews == {move.phase: move.preview.text.rstrip("\n") for move in REPORT.moves}


def test_every_step_has_its_bar_and_seconds() -> None:
    """A step without a bar would be time that nobody accounts for."""
    html = page.html(REPORT)
    for move in REPORT.moves:
        picture = html.split(f'id="steps-{move.phase}"')[1].split("</svg>")[0]
        for step in move.steps:
            assert f"<title>{step.name}: {step.seconds:.2f} s</title>" in picture
        assert picture.count('class="step"') == len(move.steps)


def test_hosts_files_show_what_changed() -> None:
    """Every line is there, and those that lead elsewhere are marked."""
    html = page.html(REPORT)
    assert html.count('<span class="gone">-192.0.2.11 db1.internal.ln</span>') == len(REPORT.hosts_files)
    assert html.count('<span class="new">+192.0.2.14 db1.internal.ln</span>') == len(REPORT.hosts_files)
    same = REPORT.hosts_files[0].model_copy(update={"after": REPORT.hosts_files[0].before})
    assert page.difference(same) == [f" {line}" for line in same.before.splitlines()]


def test_a_failed_run_says_so() -> None:
    """A page of a failed rehearsal that looks like a good one would be shown to those who must agree."""
    html = page.html(REPORT.model_copy(update={"complaints": ["content differs: <shop>"]}))
    assert "Failed." in html
    assert "content differs: &lt;shop&gt;" in html
    assert "Passed." not in html


def test_an_outage_without_an_end_says_so() -> None:
    """As far as the logs go is no length."""
    assert REPORT.window is not None
    assert REPORT.outage is not None
    window = REPORT.window.model_copy(update={"until": None})
    html = page.html(REPORT.model_copy(update={"outage": REPORT.outage.model_copy(update={"window": window})}))
    assert "no end was seen" in html
    assert "and no end seen" in html


def test_a_run_without_an_outage_has_a_page() -> None:
    """No window, nothing looked up, nothing compared: the page says so, and does not stop in the middle."""
    bare = REPORT.model_copy(update={"outage": None, "ledger": None, "comparison": None})
    found = Page(page.html(bare))
    assert set(found.lanes) == {"timeline-whole"}
    assert found.shades == {}
    assert timeline.close_up(bare) is None


def test_the_page_is_made_again_from_the_json(tmp_path: Path) -> None:
    """From nothing but the JSON, and the same."""
    app = typer.Typer()
    app.command()(main)
    target = tmp_path / "again.html"
    assert CliRunner().invoke(app, [str(made_up.FILE), str(target)]).exit_code == 0
    assert target.read_text() == page.html(REPORT)
    other = tmp_path / "other.json"
    other.write_text(made_up.FILE.read_text().replace('"version":1', '"version":2', 1))
    refused = CliRunner().invoke(app, [str(other), str(tmp_path / "none.html")])
    assert refused.exit_code == 1
    assert "version 1" in refused.stderr
    assert not (tmp_path / "none.html").exists()


@pytest.mark.parametrize(("value", "said"), [(900, "900 bytes"), (123_456_789, "123 MB"), (1_500_000_000, "1.5 GB")])
def test_sizes(value: int, said: str) -> None:
    """A unit wrong by a thousand is a rehearsal of another fleet."""
    assert page.size(value) == said


def test_a_drill_is_told_with_each_exercise_and_its_failures() -> None:
    """A drill of which half failed, and a page that says "passed" because the rehearsal before it did."""
    row = Row("db1 <dies>", ["not & never"], 12, 0, 30, 0, {"web2": 4}, ["python -m x"], 3.2, 41.0, 5.5)
    drilled = Drilled(rows=[row], seconds={"a": 41.0, "b": 2.0}, failed={"b": "it rained"}, authorities=["db1 15"])
    drilled.notes = ["one server more"]
    whole = page.html(made_up.report(drilled))
    assert "1 of 2 exercises passed" in whole
    assert "<strong>Failed.</strong>" in whole
    assert "The drill: b: it rained" in whole
    assert "db1 &lt;dies&gt;" in whole
    assert "not &amp; never" in whole
    assert "web2, off the network itself: 4" in whole
    assert "one server more" in whole
    assert "The drill" not in page.html(made_up.report())


def test_how_a_fleet_differs_from_its_config_is_told_at_the_top() -> None:
    """Those who must agree to the night take the lab's fleet for theirs."""
    report = made_up.report()
    assert "Otherwise than in the config" not in page.html(report)
    told = report.model_copy(update={"notes": ["40 servers are 20"], "not_rehearsed": ["extension postgis"]})
    top = page.html(told).split("</header>")[0]
    assert "40 servers are 20" in top
    assert "extension postgis" in top
