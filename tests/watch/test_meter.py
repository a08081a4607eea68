"""The meter's figures, its lines, and where names lead, without a server."""

from __future__ import annotations

import os
from pathlib import Path

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

from components.settings import Settings
from rehearsal.traffic import log
from rehearsal.traffic.outage import spells
from scripts.watch import names, probe
from scripts.watch.meter import RECENT, Meter, Row
from scripts.watch.names import ByStack, NoNamesError
from scripts.watch.operation import Operation
from scripts.watch.round import Kept, keeping
from scripts.watch.table import table
from tests.unit.example_config import config


def write(start: float, ok: bool, took: float = 0.1, **more: object) -> Operation:
    answered = {"address": "10.77.0.11", "version": 150004, "takes_writes": True}
    state = {"outcome": "acknowledged"} if ok else {"outcome": "failed", "sqlstate": "25006", "error": "it only reads"}
    whole = {"kind": "write", "client": "connect", "name": "db1.internal.ln", "database": "shop", **answered, **state}
    return Operation(start=start, end=start + took, ok=ok, **{**whole, **more})  # type: ignore[arg-type]


@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_refused_for_is_the_report_s_outage(oks: list[bool]) -> None:
    """The meter and the report of one night would tell two lengths of one outage."""
    row, operations = Row(), [write(float(at), ok) for at, ok in enumerate(oks)]
    for one in operations:
        row.add(one)
    found = spells(log.parse("".join(f"{one.line()}\n" for one in operations), "laptop"))
    assert row.longest == pytest.approx(max((spell.seconds for spell in found), default=0.0))
    assert (row.failing_since is not None) is (not oks[-1])
    assert row.failed == oks.count(False)


def test_rates_are_of_late() -> None:
    """A server that has been dead for a minute would go on at its old rate, and its old latency."""
    row = Row()
    for at in range(20):
        row.add(write(float(at), ok=True, took=0.5 if at < 5 else 0.1))
    assert row.rate(19.0) == pytest.approx(1.0, abs=0.11)
    assert row.slow(19.0) == pytest.approx(0.1)
    assert (row.rate(19.2 + RECENT), row.slow(19.2 + RECENT)) == (0.0, None)
    assert row.total == 20


def test_what_is_kept_is_what_the_report_reads(tmp_path: Path) -> None:
    """An hour of a night that the report takes for a broken log; or a password in a file that is passed on."""
    file = tmp_path / "laptop" / "watch.jsonl"
    with keeping(file) as kept:
        kept.take(write(1.0, ok=True))
        kept.take(write(2.0, ok=False, outcome="unknown", address=None, version=None, takes_writes=None))
    with keeping(file) as kept:
        kept.take(write(3.0, ok=True))
    kept.take(write(4.0, ok=True))
    assert kept.meter.rows["db1.internal.ln", "connect", "write"].total == 2
    found = log.read(tmp_path)
    assert [(one.start, one.ok, one.outcome) for one in found] == [
        (1.0, True, "acknowledged"),
        (2.0, False, "unknown"),
        (3.0, True, "acknowledged"),
    ]
    assert {one.server for one in found} == {"laptop"}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_does_not_stop_the_meter() -> None:
    """The table stands still, in green, while everything fails."""
    with Path("/dev/full").open("w", buffering=1) as full:
        kept = Kept(full)
        for at in range(3):
            kept.take(write(float(at), ok=False))
        assert "/dev/full" in kept.wrong
        assert kept.meter.rows["db1.internal.ln", "connect", "write"].failed == 3
        assert kept.meter.failing
        os.dup2(os.open(os.devnull, os.O_WRONLY), full.fileno())


def shown(meter: Meter, now: float) -> str:
    console = Console(width=200, no_color=True)
    with console.capture() as captured:
        console.print(table(meter, now, {"10.77.0.11": "db1"}))
    return captured.get()


def test_the_table_says_who_answers_and_what_fails() -> None:
    """Reads that still come from a server that was left look as well as others."""
    meter = Meter()
    meter.add(write(100.0, ok=True))
    meter.add(write(101.0, ok=False))
    said = shown(meter, 103.5)
    for told in ("db1, 15, takes writes", "25006 1", "2.5 s"):
        assert told in said
    meter.add(write(104.0, ok=True, address="10.77.0.14", version=170002, takes_writes=False))
    assert "10.77.0.14, 17, replica" in shown(meter, 105.0)
    assert "(was 3.1 s)" in shown(meter, 105.0)


def test_by_stack_follows_the_phase(tmp_path: Path) -> None:
    """A meter that goes on asking the old primary after cutover shows an outage that nobody has."""
    file = tmp_path / "Pulumi.fleet.yaml"
    settings = Settings.from_config({**config(), "phase": "prepare"})
    resolve = ByStack(settings, file)
    assert resolve("db1.internal.ln") == "10.77.0.11", "there is no file yet"
    for number, (text, address) in enumerate(
        [
            ("config:\n  pgleap:phase: readonly\n", "10.77.0.12"),
            ("config:\n  pgleap:pha", "10.77.0.12"),
            ("", "10.77.0.12"),
            ("config:\n  pgleap:phase: cutover\n", "10.77.0.14"),
        ]
    ):
        file.write_text(text)
        os.utime(file, ns=(number + 1, number + 1))
        assert resolve("db1.internal.ln") == address, text
    assert resolve("db9.internal.ln") is None


def test_a_machine_that_knows_no_name_is_told_of_by_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every probe would fail, and look like a fleet that is down."""

    def known(name: str, _: None) -> list[str]:
        if name != "db2.internal.ln":
            raise OSError
        return []

    monkeypatch.setattr("socket.getaddrinfo", known)
    names.refuse_unknown(["db1.internal.ln", "db2.internal.ln"])
    with pytest.raises(NoNamesError, match="--by-stack"):
        names.refuse_unknown(["db1.internal.ln"])


@pytest.mark.parametrize(
    ("said", "state"),
    [
        ('connection failed: FATAL:  no pg_hba.conf entry for host "10.0.0.1", user "a", database "b"', "28000"),
        ("connection failed: FATAL:  the database system is starting up", "57P03"),
        ('connection failed: FATAL:  database "x" does not exist', "3D000"),
        ("connection to server failed: Connection refused", "connect: refused"),
        ("connection timeout expired", "connect: timeout"),
        ("something new", "connect"),
    ],
)
def test_failures_without_a_sqlstate(said: str, state: str) -> None:
    """A seal, a crash and a mute server in one column look like one thing."""
    assert probe.sqlstate(psycopg.OperationalError(said), connected=False) == state
    assert probe.sqlstate(psycopg.OperationalError(said), connected=True) == "08006"
    assert probe.sqlstate(psycopg.errors.ReadOnlySqlTransaction("no"), connected=True) == "25006"


def test_the_command_ends_with_2_where_it_knows_no_name() -> None:
    """A script that watches would go on as if all were well."""
    from scripts.watch.__main__ import app  # noqa: PLC0415

    done = CliRunner().invoke(app, ["--once", "--name", "no-such-name.invalid"])
    assert done.exit_code == 2, done.output
