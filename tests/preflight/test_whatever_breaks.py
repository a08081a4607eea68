"""A check that cannot be made is one sentence, and takes no other with it, whatever breaks underneath."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.check_names import CheckName
from agent.checks import catalogue, facts
from agent.checks.check import Check, Result, Severity, Side, make
from agent.checks.session import Session
from agent.checks.sight import Sight
from agent.preflight import preflight
from agent.server import Server
from tests.preflight.answers import FakeFleet
from tests.preflight.databases import BINARIES, Database
from tests.preflight.places import program

HAS_POSTGRES = pytest.mark.skipif(not BINARIES, reason="no PostgreSQL server at /usr/lib/postgresql/*/bin")
BROKEN = "could not be looked at: "


def all_made(sight: Sight) -> dict[str, Result]:
    return {one.check.name.value: one for one in catalogue.made(sight)}


@contextmanager
def local_rules(database: Database, rules: str) -> Iterator[None]:
    """Its pg_hba.conf is this for a while."""
    file = database.data / "pg_hba.conf"
    before = file.read_text()
    file.write_text(rules)
    database.run("pg_ctl", "-D", str(database.data), "reload")
    time.sleep(0.3)  # until they are in force
    try:
        yield
    finally:
        file.write_text(before)
        database.run("pg_ctl", "-D", str(database.data), "reload")
        time.sleep(0.3)


@pytest.mark.parametrize(
    "error",
    [
        subprocess.TimeoutExpired("lsattr", 3), RecursionError("too deep"), MemoryError(), UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
        AttributeError("None"), ZeroDivisionError("0"), AssertionError("an onlooker writes nothing"), EOFError(), ModuleNotFoundError("ssl"),
        PermissionError(13, "denied"), StopIteration(),
    ],
)  # fmt: skip
def test_any_error_is_one_sentence(error: Exception) -> None:
    """An error of a kind that nobody thought of: all checks of its server were missing, and the report began with a traceback."""

    def look(_: Any) -> list[str]:
        raise error

    check = Check(CheckName.LOCKS, Severity.REFUSE, (Side.OLD_PRIMARY,), "it matters", "mend it", look)
    found = make(check, Sight({}, Server()))
    assert found.unseen is not None and found.unseen.startswith(f"{BROKEN}{type(error).__name__}")
    assert facts._of(look, Sight({}, Server())) == {"unseen": found.unseen}


@pytest.mark.parametrize(
    "psql",
    [
        "exit 1", "echo rubbish; exit 0", "cat > /dev/null", "echo '{'; echo pgleap-answer-ends false; sleep 20", "kill -9 $$",
        "exec 1>&-; sleep 20", "printf '\\377\\000'; exit 3", "trap '' PIPE TERM; sleep 20",
    ],
)  # fmt: skip
def test_a_psql_that_misbehaves(psql: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its pipe broke while it was closed, or it said nothing for ever: nothing of the server was told."""
    monkeypatch.setattr("agent.checks.session.PATIENCE", 0.5)
    program(tmp_path / "psql", psql)
    session = Session(Server(), str(tmp_path / "psql"), 15, (None, {}))
    with pytest.raises(Exception) as first:
        session.rows("SELECT 1")
    assert not isinstance(first.value, BrokenPipeError)
    session.close()


@HAS_POSTGRES
@pytest.mark.postgres
class TestLogins:
    """Those of the machine's superuser, before there is a way in of pgleap's own."""

    def test_a_login_that_is_refused(self, database: Database) -> None:
        """The first day's look ended in a BrokenPipeError, and access blamed a role that nobody had made."""
        with local_rules(database, "local all all scram-sha-256\nhost all all 127.0.0.1/32 trust\n"):
            with database.sight(side="old primary") as sight:
                made = all_made(sight)
                seen = facts.seen(sight)
            answer = preflight({**database.desired(), "side": "old primary"}, Server())
        assert {check.name.value for check in catalogue.of(Side.OLD_PRIMARY)} == made.keys()
        (said,) = made["local-login"].found
        assert "as postgres, by the socket in" in said and "fe_sendauth: no password supplied" in said
        for name in ("roles", "prepared-transactions", "sequences"):
            unseen = made[name].unseen
            assert unseen is not None and unseen.startswith(BROKEN) and "no password supplied" in unseen, name
        # What the files and programs tell is told.
        for name in ("cluster-managers", "ports"):
            assert made[name].unseen is None, made[name]
        assert seen["freeBytes"] > 0 and "no password" in seen["version"]["unseen"]
        assert len(answer["checks"]) == len(made)

    def test_another_socket_folder_is_found(self, database: Database) -> None:
        """Each check but those of files was missing, and the stack had no word for it."""
        desired = {**database.desired(), "side": "old primary"}
        with Sight(desired, Server()) as sight:
            assert sight.login("postgres")[1]["PGHOST"] == str(database.folder)
            made = all_made(sight)
        assert made["local-login"].unseen is None and made["local-login"].found == []
        assert made["roles"].unseen is None and made["roles"].found == []
        desired["postgres"] = {**desired["postgres"], "socketFolder": "/nowhere"}
        with Sight(desired, Server()) as sight:
            (said,) = all_made(sight)["local-login"].found
        assert "by the socket in /nowhere" in said and "No such file or directory" in said

    def test_no_database_postgres(self, database: Database) -> None:
        """All but one thing can be looked at in another database; that one is refused by its name."""
        database.sql("DROP DATABASE postgres", "template1")
        try:
            with database.sight(side="old primary") as sight:
                made = all_made(sight)
            (said,) = made["local-login"].found
            assert 'database "postgres" does not exist' in said and "template1 lets it in" in said
            assert made["versions"].unseen is None and made["sequences"].unseen is None
        finally:
            database.sql("CREATE DATABASE postgres", "template1")

    def test_another_superusers_name(self, database: Database) -> None:
        """pg_upgrade comes as the role that initdb made and as no other: found out on DB_A, once it was copied."""
        database.sql('CREATE ROLE "DBA-Root" SUPERUSER LOGIN')
        place = {**database.desired()["postgres"], "superuser": "DBA-Root"}
        try:
            found = database.found(CheckName.LOCAL_LOGIN, postgres=place)
            assert found == ["the role that initdb made is postgres; the stack's superuser is DBA-Root"]
        finally:
            database.sql('DROP ROLE "DBA-Root"')
        nobody = {**place, "superuser": "Root"}
        with Sight({**database.desired(), "postgres": nobody}, Server()) as sight:
            (said,) = all_made(sight)["local-login"].found
        assert "postgres of the operating system as Root" in said and 'role "Root" does not exist' in said

    def test_a_cluster_that_is_not_where_the_stack_says(self, database: Database) -> None:
        """Everything was "not checked", and nothing refused."""
        place = {**database.desired()["postgres"], "data": "/nowhere"}
        (said,) = database.found(CheckName.LOCAL_LOGIN, postgres=place)
        assert "no PostgreSQL runs in /nowhere" in said and str(database.data) in said

    def test_five_oddities_at_once(self, database: Database) -> None:
        """Each alone took one check with it; together they took what could still be seen."""
        bin_folder = database.folder / "bin"
        bin_folder.mkdir()
        for each in database.bin.iterdir():
            (bin_folder / each.name).symlink_to(each)
        (bin_folder / "pg_config").unlink(missing_ok=True)
        program(bin_folder / "pg_config", "kill -9 $$")
        odd = Server(root=Path("/"))
        plain_run, plain_text = odd.run, Sight.text

        def run(*argv: str, **how: Any) -> Any:
            if argv[0] in ("systemctl", "lsattr"):
                raise subprocess.TimeoutExpired(argv, 3)
            if argv[0] == "ps":
                raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "odd")
            return plain_run(*argv, **how)

        odd.run = run  # type: ignore[method-assign]

        def text(sight: Sight, path: str) -> str | None:
            if "cron" in path or "pgbouncer" in path:
                raise PermissionError(13, "Permission denied", path)
            return plain_text(sight, path)

        desired = {**database.desired(), "side": "old primary"}
        desired["postgres"] = {**desired["postgres"], "bin": str(bin_folder)}
        rules = "local postgres all reject\nlocal all all trust\nhost all all 127.0.0.1/32 trust\n"
        with local_rules(database, rules), Sight(desired, odd) as sight:
            sight.text = text.__get__(sight)  # type: ignore[method-assign]
            made = all_made(sight)
            seen = facts.seen(sight)
        assert {check.name.value for check in catalogue.of(Side.OLD_PRIMARY)} == made.keys()
        assert "rejects connection" in made["local-login"].found[0]
        for name in ("versions", "roles", "wal-level", "encodings", "prepared-transactions"):
            assert made[name].unseen is None, made[name]
        assert "TimeoutExpired" in str(made["cluster-managers"].unseen)
        assert seen["version"] and seen["freeBytes"] > 0


def test_a_fact_that_nobody_expects_takes_one_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """A number that came as text: the whole report was a traceback."""
    fleet = FakeFleet()
    fleet.say("db1", dataBytes="a lot", icu=["72"], clientSessions=None, version=15)
    rows = {row.name.value: row for row in fleet.report().rows}
    assert rows["locks"].outcome.looked and rows["ssh"].outcome.looked
    assert all(why.startswith(BROKEN) for why in rows["disk-for-copy"].outcome.unseen.values())
    assert rows["disk-for-copy"].outcome.unseen


def test_what_does_not_take_long_is_told_ahead(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """pg_upgrade's check took longer than the asker waits, and not one check of DB_A was told."""
    told: list[str] = []

    def slow(_: Any) -> list[str]:
        while not told:
            told.extend(capfd.readouterr().out.splitlines())
        return ["found late"]

    quick = Check(CheckName.LOCKS, Severity.WARN, (Side.SERVER,), "it matters", "mend it", lambda _: ["found"])
    late = Check(CheckName.PG_UPGRADE, Severity.REFUSE, (Side.SERVER,), "it matters", "mend it", slow, long=True)
    monkeypatch.setattr(catalogue, "of", lambda *_: (late, quick))
    answer = preflight({"side": "server", "tellsAhead": True}, Server())
    ahead = json.loads(told[0])
    assert [one["found"] for one in answer["checks"]] == [["found late"], ["found"]]
    assert [one["found"] for one in ahead["checks"]] == [[], ["found"]]
    assert "under way when the answer was due" in ahead["checks"][0]["unseen"]
    assert ahead["seen"].keys() == answer["seen"].keys()
