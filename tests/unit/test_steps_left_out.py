"""Whether an engine leaves steps out, seen from how it was started."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from components import ancestors as reader
from components.engine_options import LeftOutError, check_whole, engine, left_out_by

REPOSITORY = Path(__file__).parents[2]
URN = "urn:pulumi:fleet::pgleap::pgleap:fleet:Gate$command:remote:Command::db1-client-gate"
HOST = ["/opt/pulumi/pulumi-language-python", "127.0.0.1:4711"]


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        (f"pulumi up --target {URN}", ["--target"]),
        (f"pulumi up --target={URN}", ["--target"]),
        (f"/usr/local/bin/pulumi up -t {URN}", ["-t"]),
        (f"pulumi up -t{URN}", ["-t"]),
        (f"pulumi up -t={URN} -t={URN}", ["-t"]),
        (f"pulumi up -yft {URN}", ["-t"]),
        (f"pulumi preview -x {URN}", ["-x"]),
        ("pulumi up --exclude **client-gate", ["--exclude"]),
        (f"pulumi up --target-replace {URN} --target-dependents", ["--target-replace", "--target-dependents"]),
        ("pulumi up --exclude-dependents=true", ["--exclude-dependents"]),
        (f"pulumi -C fleet --color never up -s fleet -m night --target {URN}", ["--target"]),
        (f"pulumi up -c pgleap:phase=readonly -rt {URN}", ["-t"]),
        (f"pulumi up --refresh --target {URN}", ["--target"]),
        (f"pulumi up -p 4 -v=3 -t {URN}", ["-t"]),
        ("pulumi up", []),
        ("pulumi up --yes --skip-preview --config phase=readonly --config round=2", []),
        ("pulumi up -m -t", []),
        ("pulumi up -m-t -c -x -s -t", []),
        ("pulumi up --message --target", []),
        ("pulumi up --message=--target --stack -t", []),
        ("pulumi up --continue-on-error --parallel 4 -fyd", []),
        (f"pulumi up --replace {URN}", []),
        ("pulumi up -- --target", []),
        ("pulumi env run night tmux new -t pgleap", []),
    ],
)
def test_options_that_leave_steps_out_are_found(typed: str, found: list[str]) -> None:
    """One that is not found breaks the engine's state in the night; one that is found in a message keeps the night from beginning."""
    assert left_out_by(typed.split(" ")) == found


@pytest.mark.parametrize(
    ("chain", "found"),
    [
        ([HOST, ["pulumi", "up", "-t", URN], ["bash"]], ["-t"]),
        # Under uv or poetry another process stands between, and some packages wrap the engine.
        ([["uv", "run", "-t"], HOST, ["/nix/store/x/bin/.pulumi-wrapped", "up", "-x", URN]], ["-x"]),
        # Whatever the engine is called, it is the one that starts the language host.
        ([HOST, ["/opt/pulumi-3.250.0", "up", "--target", URN]], ["--target"]),
        # What others among the ancestors mean by -t is theirs; of two engines the nearer one counts.
        ([HOST, ["pulumi", "up"], ["tmux", "new", "-t", "night"]], []),
        ([HOST, ["pulumi", "up"], ["pulumi", "env", "run", "night", "--", "pulumi", "up", "-t", URN]], []),
        # scripts.window serves the program itself, and starts the engine: none is above it.
        ([["python", "-m", "scripts.window", "--to", "cutover"], ["tmux", "new", "-t", "night"]], []),
        ([[], ["bash"]], []),
        ([], []),
    ],
)
def test_the_engine_is_found_among_the_ancestors(chain: list[list[str]], found: list[str]) -> None:
    """Another program's -t would be taken for the engine's, or the engine's be overlooked behind a wrapper."""
    assert left_out_by(engine(chain)) == found


def test_the_refusal_says_what_was_found_and_what_to_do() -> None:
    """Who typed it has to know which word to take away."""
    with pytest.raises(LeftOutError) as refused:
        check_whole([HOST, ["pulumi", "up", "--exclude", URN]], {})
    assert str(refused.value) == (
        "Expected: pulumi to be told of every step. Found: --exclude, which leaves steps out. Nothing was begun.\n"
        "To do: pulumi up, without it"
    )


def test_options_by_way_of_the_environment_count_too() -> None:
    """The engine takes every option as a variable as well: one that stands in a profile is not seen on the command line."""
    with pytest.raises(LeftOutError) as refused:
        check_whole([], {"PULUMI_OPTION_TARGET": URN, "PULUMI_OPTION_EXCLUDE_DEPENDENTS": "true"})
    assert "Found: PULUMI_OPTION_TARGET, PULUMI_OPTION_EXCLUDE_DEPENDENTS, which" in str(refused.value)
    assert str(refused.value).endswith(
        "unset PULUMI_OPTION_TARGET && unset PULUMI_OPTION_EXCLUDE_DEPENDENTS && pulumi up, without them"
    )
    check_whole([], {"PULUMI_OPTION_TARGET": "", "PULUMI_OPTION_TARGET_DEPENDENTS": "false", "PULUMI_OPTION_YES": "1"})


def test_what_was_typed_is_read_from_the_ancestors(tmp_path: Path) -> None:
    """A reader that splits arguments wrongly, or stops one process short, sees no option at all."""
    seen = "import components.ancestors as a, components.engine_options as e; print(e.left_out_by(e.engine(a.ancestors())))"
    between = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {seen!r}], check=True)"
    (tmp_path / "pulumi").symlink_to(sys.executable)
    typed = ["up", "-m", "not -x, with (brackets) and\nlines", "--target", URN]
    said = subprocess.run(
        [tmp_path / "pulumi", "-c", between, *typed],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == "['--target']\n"


@pytest.mark.skipif(shutil.which("ps") is None, reason="there is no ps here")
def test_what_was_typed_is_read_where_there_is_no_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a Mac there is `ps` alone, and the guard would be silent."""
    by_proc = reader.ancestors()
    monkeypatch.setattr(reader, "_PROC", Path("/nowhere"))
    assert [" ".join(one).split() for one in by_proc] == reader.ancestors()


def test_nothing_is_seen_where_nothing_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that hides its processes must not keep anybody from going back."""
    monkeypatch.setattr(reader, "_PROC", Path("/nowhere"))
    monkeypatch.setenv("PATH", "/nowhere")
    assert reader.ancestors() == []
