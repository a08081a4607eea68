"""Reading the clients' logs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rehearsal.traffic.log import counts, parse, read, read_errors

READ = {
    "start": 1.0,
    "end": 1.5,
    "kind": "read",
    "client": "connect",
    "name": "db2.internal.ln",
    "database": "shop",
    "ok": True,
    "sqlstate": None,
    "error": None,
    "address": "10.77.0.12",
    "version": 150018,
}


def line(**changes: object) -> str:
    return json.dumps({**READ, **changes}) + "\n"


def test_a_torn_last_line_is_left_out() -> None:
    """A client killed while it wrote must not make its whole log unreadable."""
    assert [one.start for one in parse(line() + line(start=2.0)[:20], "web1")] == [1.0]


@pytest.mark.parametrize("torn", ['{"start": 1}\n', "[]\n", "nonsense\n"])
def test_any_other_broken_line_is_an_error(torn: str) -> None:
    """Half a log must not be reckoned with as if it were the whole."""
    with pytest.raises(ValueError, match="line 2 of its log"):
        parse(line() + torn + line(), "web1")


def test_logs_are_read_from_every_server_in_order(tmp_path: Path) -> None:
    """A file that is overlooked would take its errors along."""
    for server, start in (("web2", 1.0), ("web1", 2.0)):
        (tmp_path / server).mkdir()
        (tmp_path / server / "connect.jsonl").write_text(line(start=start))
    assert [(one.server, one.start) for one in read(tmp_path)] == [("web2", 1.0), ("web1", 2.0)]


def test_no_logs_is_an_error(tmp_path: Path) -> None:
    """Logs that were never collected must not look like traffic without errors."""
    with pytest.raises(FileNotFoundError, match="collect them first"):
        read(tmp_path)


def test_counts_and_read_errors() -> None:
    """A failed read on an online server must be seen; one on a drained server must not count against the upgrade."""
    failed = {"ok": False, "sqlstate": "57P01", "error": "terminating connection"}
    operations = parse(line() + line(**failed) + line(kind="write", id="a", outcome="failed", **failed), "web1")
    operations += parse(line(**failed), "web3")
    found = counts(operations)
    assert (found["connect", "read"].total, found["connect", "read"].errors) == (3, {"57P01": 2})
    assert found["connect", "write"].failed == 1
    assert [(one.server, one.kind) for one in read_errors(operations, ["web1", "web2"])] == [("web1", "read")]
