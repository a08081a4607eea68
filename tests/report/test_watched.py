"""The page of a night, from what `scripts.watch` kept on two machines."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from rehearsal.report import gather, page, watched
from rehearsal.report.model import Report
from scripts.watch.operation import Kind, Operation
from tests.report.drawn import Page

APP = typer.Typer()
APP.command()(watched.main)
OLD, NEW = ("192.0.2.11", 150018), ("192.0.2.14", 170006)


def probe(kind: Kind, at: float, *, ok: bool = True, answered: tuple[str, int] | None = OLD) -> Operation:
    address, version = answered or (None, None)
    return Operation(
        kind=kind,
        client="connect",
        name="db1.internal",
        database="shop",
        start=at,
        end=at + 0.01,
        ok=ok,
        error=None if ok else "cannot execute UPDATE in a read-only transaction",
        address=address,
        version=version,
        outcome=None if kind == "read" else "acknowledged" if ok else "failed",
    )


def night(folder: Path, *, last: bool = True, reads: bool = True) -> Path:
    """Writes are refused from second 10 to 14; DB_A answers from then on."""
    for machine in ("bastion", "laptop"):
        seen = []
        for tenth in range(0, 200, 5):
            at = tenth / 10
            answered = OLD if at < 14 else NEW
            seen.append(probe("read", at, ok=reads or at != 12, answered=answered))
            seen.append(probe("write", at + 0.1, ok=at < 10 or (at >= 14 and last), answered=answered))
        (folder / machine).mkdir(parents=True)
        (folder / machine / "watch.jsonl").write_text("".join(f"{one.line()}\n" for one in seen))
    return folder


def made(folder: Path, target: Path) -> tuple[Report, Page]:
    done = CliRunner().invoke(APP, [str(folder), str(target)])
    assert done.exit_code == 0, done.output
    found = Report.model_validate_json((target / gather.JSON).read_text())
    return found, Page((target / gather.HTML).read_text())


def test_the_nights_outage_is_what_the_machines_saw(tmp_path: Path) -> None:
    """A file that the meter writes and no report takes: the night itself has no picture."""
    found, seen = made(night(tmp_path / "night"), tmp_path / "report")
    assert found.window is not None
    assert found.window.seconds == pytest.approx(4.01, abs=0.02)
    assert found.passed
    assert seen.outage == (found.window.seconds, f"{found.window.seconds:.1f} s")
    assert (found.versions.postgres_old, found.versions.postgres_new) == ("15.18", "17.6")
    lanes = seen.lanes["timeline-whole"]
    assert {
        "client bastion read",
        "client laptop write",
        "database 192.0.2.11 write",
        "database 192.0.2.14 write",
    } <= set(lanes)


def test_a_read_that_failed_is_told(tmp_path: Path) -> None:
    """The night's page says that all was well, and the application's log says otherwise."""
    found, _ = made(night(tmp_path / "night", reads=False), tmp_path / "report")
    assert found.complaints == [
        "2 reads failed, the first on bastion through db1.internal: cannot execute UPDATE in a read-only transaction"
    ]
    assert "<strong>Failed.</strong>" in page.html(found)


def test_writes_that_never_came_back_are_told(tmp_path: Path) -> None:
    """An outage without an end looks like one that ended with the file."""
    found, _ = made(night(tmp_path / "night", last=False), tmp_path / "report")
    assert len(found.complaints) == 2
    assert "the last write on laptop through db1.internal was not accepted" in found.complaints[1]
    assert "no end was seen" in page.html(found)


def test_a_meter_that_wrote_nothing_has_no_outage(tmp_path: Path) -> None:
    """Without `--write-sql` nobody knows how long writes were refused: the page must not say that none was."""
    folder = tmp_path / "laptop"
    folder.mkdir()
    (folder / "watch.jsonl").write_text("".join(f"{probe('read', at).line()}\n" for at in range(5)))
    found, _ = made(tmp_path, tmp_path / "report")
    assert found.outage is None
    assert "No write was tried." in page.html(found)


def test_a_folder_without_files_is_told(tmp_path: Path) -> None:
    """A wrong folder makes a page on which nothing failed."""
    done = CliRunner().invoke(APP, [str(tmp_path), str(tmp_path / "report")])
    assert done.exit_code == 1
    assert "expected logs at" in done.output
