"""What is kept of the bench, what it comes to, and the page that is made from it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from rehearsal import facts
from rehearsal.bench import bench, files, page
from rehearsal.bench.bench import Results
from rehearsal.bench.goals import table
from tests.bench import made_up

RESULTS = Results(
    windows=made_up.windows(),
    hosts_files=made_up.hosts_files(),
    fleets=made_up.fleets(made_up.size(10, 0.1), made_up.size(200, 2), made_up.size(1000, 20)),
).summed_up()


def test_the_page_is_made_from_what_is_kept() -> None:
    """Figures that nobody measured, or of another run than the one that is kept."""
    kept = bench.kept()
    for file, parts in ((files.PAGE, kept.tables()), (files.README, kept.sentences())):
        text = file.read_text(encoding="utf-8")
        assert parts
        assert page.with_parts(text, file.name, parts) == text


def test_what_is_kept_says_what_its_runs_come_to() -> None:
    """A ratio, or a goal called met, that the runs beside it do not bear out."""
    assert bench.kept().summed_up() == bench.kept()


def test_every_ratio_is_there() -> None:
    """A comparison that was asked for, and is in no file."""
    assert RESULTS.ratios.windows["small"].window == pytest.approx(1.6)
    assert RESULTS.ratios.windows["small"].three_ups == pytest.approx(4.0)
    assert set(RESULTS.ratios.hosts_files) == {10, 40, 200}
    at_most = RESULTS.ratios.hosts_files[200]
    assert set(at_most) == {"pulumi up", "scripts.window"}
    assert at_most["scripts.window"]["pyinfra"] == pytest.approx(5 / 3, abs=0.001)
    assert set(at_most["pulumi up"]) == {"Ansible", "pyinfra", "plain ssh", "plain ssh, the same agent"}


def test_a_goal_is_held_against_the_worst_that_was_found() -> None:
    """The best shape, or the mean of all, is good wherever one of them is."""
    found = {one.goal: (one.found, one.at, one.met) for one in RESULTS.goals}
    assert found == {
        "`scripts.window` refuses writes hardly longer than an expert by hand": (3.0, "small", True),
        "hosts files, `pulumi up`: no slower than pyinfra": (1.0, "10 hosts", True),
        "hosts files, `scripts.window`: no slower than pyinfra": (2.818, "10 hosts", False),
        "hosts files in the window: each further host no dearer than with plain `ssh` and `sed`": (
            1.0,
            "200 hosts",
            True,
        ),
        "hosts files in the window: each further host no dearer than with plain `ssh` and the agent's verb": (
            1.0,
            "200 hosts",
            True,
        ),
        "hosts files in the window: hardly longer than plain `ssh` with `sed`": (2.0, "200 hosts", True),
        "hosts files in the window: hardly longer than plain `ssh` with the agent's verb": (2.0, "200 hosts", True),
        "`preview` grows as the fleet does, 1 being linear": (2.25, "1,000 servers", False),
        "`up` without changes grows as the fleet does, 1 being linear": (2.25, "1,000 servers", False),
        "`up` to readonly grows as the fleet does, 1 being linear": (2.25, "1,000 servers", False),
    }
    assert (
        table(RESULTS.goals)[3]
        == "| hosts files, `pulumi up`: no slower than pyinfra | 1.00 times | 1.00 times (10 hosts) | met |"
    )
    assert table(RESULTS.goals)[4].endswith("| 2.82 times (10 hosts) | **missed** |")


def test_nothing_that_was_not_measured_is_summed_up() -> None:
    """A goal that is met by nobody's having looked."""
    assert Results().summed_up() == Results()


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    """Keys of JSON are texts, and a number of hosts that came back as one would be in no table."""
    file, text = tmp_path / "results.json", tmp_path / "page.md"
    text.write_text("".join(f"<!-- bench: {part} -->\n<!-- end of {part} -->\n" for part in RESULTS.tables()))
    page.write(RESULTS, file, {text: RESULTS.tables()})
    assert bench.kept(file) == RESULTS
    assert text.read_text().count("Measured on 2 cores (a processor), 16 GiB, Debian; commit 0123456789ab.") == 3


def test_what_the_bench_writes_makes_no_other_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second part would be of another commit than the first, and a shape that is measured next would throw away the one before."""
    monkeypatch.setattr(facts, "REPOSITORY", tmp_path)
    written = tmp_path / "results.json"

    def git(*words: str) -> None:
        names = ("-c", "user.name=somebody", "-c", "user.email=somebody@localhost")
        subprocess.run(["git", *names, *words], cwd=tmp_path, check=True, capture_output=True)

    git("init")
    (tmp_path / "code").write_text("1")
    git("add", "--all")
    git("commit", "-m", "first")
    clean = facts.commit()
    assert clean is not None
    written.write_text("{}")
    assert facts.commit((written,)) == clean
    assert facts.commit() == f"{clean}+"
    (tmp_path / "code").write_text("2")
    assert facts.commit((written,)) == f"{clean}+"
