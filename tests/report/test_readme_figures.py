"""README's and the runbook's figures and pictures: they are those of the report that is kept in docs/rehearsal/, and no others."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
import typer

from rehearsal.drill.drill import Drilled
from rehearsal.drill.story import Practice, Row
from rehearsal.report import figures, readme
from rehearsal.report.figures import MarkError
from rehearsal.report.model import Preview, Report
from rehearsal.report.page import within
from rehearsal.report.readme import KEPT, OUTAGE, PAGES, PHASES, REPOSITORY, UnfitError
from tests.report import made_up

SVG = "{http://www.w3.org/2000/svg}"


def whole(drilled: Drilled | None = None) -> Report:
    """The made-up report, with the two phases that it has not: a made-up drill besides, if it is given."""
    report = made_up.report(drilled)
    later = [report.moves[-1].model_copy(update={"phase": phase}) for phase in ("replicas", "retire")]
    return report.model_copy(update={"moves": [*report.moves, *later]})


REPORT = whole()


def with_preview(text: str) -> Report:
    first = REPORT.moves[0]
    preview = Preview(began=first.preview.began, ended=first.preview.ended, text=text)
    return REPORT.model_copy(update={"moves": [first.model_copy(update={"preview": preview}), *REPORT.moves[1:]]})


def test_what_is_shown_is_what_the_kept_report_says() -> None:
    """Figures and pictures that were written by hand, or are of a rehearsal before, would be believed by whoever agrees to the night."""
    file = REPOSITORY / KEPT
    assert file.is_file(), f"expected a rehearsal's report in {KEPT}; found none; to do: make rehearsal && make figures"
    kept = Report.model_validate_json(file.read_text(encoding="utf-8"))
    assert readme.keep(kept) == kept, f"expected {KEPT} as it is kept; to do: make figures REPORT={KEPT}"
    for name, text in readme.made(kept, readme.read(REPOSITORY)).items():
        there = REPOSITORY / name
        assert there.is_file(), f"expected {name} to be drawn from {KEPT}; to do: make figures REPORT={KEPT}"
        same = there.read_text(encoding="utf-8") == text
        assert same, (
            f"expected {name} to be what {KEPT} makes of it; found otherwise; to do: make figures REPORT={KEPT}"
        )


def test_the_pages_show_every_figure() -> None:
    """A mark that somebody took out of a page leaves there what was true once."""
    marks = {mark[2] for name in PAGES for mark in figures.MARKED.finditer((REPOSITORY / name).read_text())}
    assert marks == set(figures.figures(REPORT))


def test_making_them_twice_changes_nothing() -> None:
    """White space that grows with each run would make every run look like a new one."""
    once = readme.made(REPORT, readme.read(REPOSITORY))
    again = readme.made(Report.model_validate_json(once[KEPT]), {name: once[name] for name in PAGES})
    assert again == once


def test_figures_are_the_reports() -> None:
    """A figure of another part of the report under the right name would be taken for it."""
    found = figures.figures(REPORT)
    assert REPORT.window is not None
    assert REPORT.ledger is not None
    assert REPORT.comparison is not None
    assert found["outage"] == f"{REPORT.window.seconds:.1f} s"
    assert f"**{found['outage']}**" in found["summary"]
    own = within(REPORT, [REPORT.comparison]) + within(REPORT, [move.preview for move in REPORT.moves])
    assert 0 < own < REPORT.window.seconds
    assert f"{own:.1f} s of it for the rehearsal's own work" in found["summary"]
    assert f"{REPORT.ledger.acknowledged} / {REPORT.ledger.found} / 0 |" in found["costs"]
    assert f"{REPORT.window.refused} writes |" in found["costs"]
    assert found["took upgrade"] == "1.8 s; longest: `db-a-database` 1.5 s, `db1-finish` 0.1 s"
    assert "| `upgrade` | 0.3 s | 1.8 s | `db-a-database` 1.5 s, `db1-finish` 0.1 s |" in found["costs"]
    online = [one for one in made_up.operations() if one.kind == "read" and one.server in ("web1", "web2")]
    for client in ("connect", "testing-pool"):
        assert f"`{client}` 0 of {sum(1 for one in online if one.client == client)}" in found["costs"]
    assert f"Of {len(online)} reads on online servers 0 failed." in found["summary"]
    assert "| 123 MB, 1 database and template1, 60 tables, 400 relations, 12 large objects |" in found["costs"]
    assert "the drill" not in found["costs"]
    assert "not practised" in found["back upgrade"]


def test_a_drill_gives_the_ways_back_their_seconds() -> None:
    """The way back of one phase under another's heading would be waited for, in the night, in vain."""
    rows = [
        Row(practice.value, [], 1, 0, 1, 0, {}, [], back, 30.0 + back, 9.0)
        for practice, back in ((Practice.FROM_READONLY, 3.5), (Practice.FROM_CUTOVER, 7.5))
    ]
    found = figures.figures(whole(Drilled(rows=rows, seconds={"a": 1.0, "b": 2.0}, acknowledged=2)))
    assert found["back readonly"] == "writes came back 3.5 s after the command, all was done after 33.5 s"
    assert found["back cutover"].startswith("writes came back 7.5 s after the command")
    assert "not practised" in found["back upgrade"]
    assert "| the drill after it | 2 of 2 exercises passed; 2 writes acknowledged, 0 lost |" in found["costs"]


@pytest.mark.parametrize("name", [OUTAGE, PHASES])
def test_a_picture_stands_alone(name: str) -> None:
    """GitHub shows a file with nothing beside it: without its colours it is black, without paper it cannot be read on a dark page."""
    text = readme.made(REPORT, {})[name]
    svg = ElementTree.fromstring(text)
    assert svg.tag == f"{SVG}svg"
    style = svg.findtext(f"{SVG}style")
    assert style is not None
    assert "prefers-color-scheme: dark" in style
    assert set(re.findall(r"var\((--\w+)\)", style)) <= set(re.findall(r"(--\w+):", style))
    there = {one.get("id") for one in svg.iter()}
    assert set(re.findall(r"url\(#(\w+)\)", text)) <= there
    assert not re.findall(r"""(?:href|src)=|@import|url\((?!#)""", text)
    paper = next(one for one in svg.iter(f"{SVG}rect") if one.get("class") == "paper")
    assert " ".join(paper.attrib[side] for side in ("x", "y", "width", "height")) == svg.attrib["viewBox"]
    for element in svg.iter():
        for word in (element.get("class") or "").split():
            assert f".{word}" in style or word in {"lane", "read", "write"}, word


def test_what_failed_is_not_kept() -> None:
    """README shows one rehearsal to strangers: it must be one that lost nothing, and went all the way."""
    for unfit in (
        REPORT.model_copy(update={"complaints": ["the ledger is not whole"]}),
        REPORT.model_copy(update={"moves": REPORT.moves[:-1]}),
        REPORT.model_copy(update={"outage": None}),
        whole(Drilled(failed={"a": "it rained"})),
    ):
        with pytest.raises(UnfitError, match="a whole rehearsal that passed"):
            readme.keep(unfit)
    assert readme.keep(REPORT) == REPORT


@pytest.mark.parametrize("path", ["/home/deploy/pgleap/Pulumi.yaml", "/tmp/pgleap/x", "/Users/x/y", "/root/.ssh/id"])
def test_no_path_of_the_machine_is_kept(path: str) -> None:
    """Where somebody's checkout lies, and so often who it is, would be published with the figures."""
    for text in (f"asset(file:{path})", f'"{path}"', f"at\n{path}", path):
        with pytest.raises(UnfitError, match=re.escape(path)):
            readme.keep(with_preview(text))


def test_paths_on_the_servers_are_kept() -> None:
    """The lab's servers have nobody's paths, and a preview without its /etc/hosts shows nothing."""
    text = "cat /etc/hosts /usr/local/lib/pgleap/agent.pyz; 0/2 tablespaces; https://a.example/b/c; ./a/b ~/c/d kB/s/x"
    assert readme.keep(with_preview(text)) == with_preview(text)


def test_a_large_report_is_kept_without_its_previews() -> None:
    """Megabytes that nobody reads would be in every clone for ever; the figures and pictures need none of it."""
    large = with_preview("~ one line\n" * 200_000)
    kept = readme.keep(large)
    assert kept.moves[0].preview.text == "(200000 lines, left out of the report that is kept)\n"
    assert len(readme.made(kept, {})[KEPT]) <= readme.MOST_BYTES
    assert figures.figures(kept) == figures.figures(large)
    assert readme.keep(kept) == kept


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<!-- figures: outag -->1 s<!-- end -->", "outag"),
        ("<!-- figures: outage -->1 s", "1 of the one, 0"),
        ("<!-- figures: outage -->1 s <!-- figures: outage -->2 s<!-- end -->", "2 of the one, 1"),
    ],
)
def test_marks_that_cannot_be_filled_are_refused(text: str, said: str) -> None:
    """A mark without its end would swallow the page up to the next one."""
    with pytest.raises(MarkError, match=said):
        figures.fill(text, figures.figures(REPORT), "a page")


def test_the_command_names_what_is_wrong(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A traceback tells whoever keeps a report nothing; and what is refused must leave the pages as they are."""
    before = readme.read(REPOSITORY)
    for text, said in (("{}", "version"), (made_up.FILE.read_text(), "a whole rehearsal")):
        file = tmp_path / "report.json"
        file.write_text(text)
        with pytest.raises(typer.Exit):
            readme.main(file)
        assert said in capsys.readouterr().err
    assert readme.read(REPOSITORY) == before
