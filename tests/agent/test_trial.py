"""The schema trial, by real programs: its verdict is pg_upgrade's own, and nothing of it stays."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent import pg_upgrade, trial, trial_cluster
from agent.cluster import OS_USER, from_desired
from agent.postgres import Postgres
from agent.report import Refusal
from agent.server import Server
from tests.preflight.databases import BINARIES, Database, running

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.skipif(len(BINARIES) < 2, reason="no two versions of PostgreSQL at /usr/lib/postgresql/*/bin"),
    pytest.mark.skipif(os.geteuid() != 0, reason="the agent runs programs as the user postgres, which only root may"),
]
NEW = BINARIES[-1] if BINARIES else Path()
SECONDS = 120.0


@dataclass
class Here:
    """An old server, and an empty cluster of the new version beside it."""

    old: Database
    new: Database
    server: Server

    @property
    def postgres(self) -> Postgres:
        return Postgres(self.server, from_desired(self.old.desired()["postgres"]), "127.0.0.1", role="postgres")

    def hold(self, seconds: float = SECONDS, jobs: int = 2) -> dict[str, object]:
        facts = trial.hold(self.server, self.postgres, from_desired(self.old.desired()["newPostgres"]), jobs, seconds)
        return dict(facts["schema trial"])

    def found(self) -> list[str]:
        """What the trial finds. Nothing of it may be left, whatever it finds."""
        with contextlib.suppress(Refusal):
            self.hold()
        record = trial.last(self.server)
        assert record is not None
        self.nothing_is_left()
        return list(record["found"])

    def nothing_is_left(self) -> None:
        new = from_desired(self.old.desired()["newPostgres"])
        assert not Path(trial_cluster.data_folder(new)).exists()
        work = Path(trial_cluster.at(self.server, new, new).work)
        assert [file.name for file in work.iterdir() if not file.name.endswith(".log")] == []
        assert list(self.old.folder.glob("space*/PG_17*")) == []

    def pg_upgrade(self) -> str | None:
        """None if pg_upgrade itself upgrades a copy of this cluster, else what it says. The old server is stopped meanwhile."""
        old, folder = self.old, self.old.folder
        old.run("pg_ctl", "-D", str(old.data), "-m", "fast", "-w", "stop")
        copy, made = Database(folder, old.port, old.bin), Database(folder, old.port, NEW)
        run = folder / "real"
        run.mkdir()
        shutil.chown(run, OS_USER)
        old.run("pg_controldata", "-D", str(old.data))
        subprocess.run(["cp", "-a", str(old.data), str(run / "old")], check=True)
        initialize(made, run / "new")
        given = "".join(f" -c {name}='{value}'" for name, value in old.settings.items())
        try:
            done = subprocess.run(
                ["runuser", "-u", OS_USER, "--", str(NEW / "pg_upgrade"), "-b", str(copy.bin), "-B", str(NEW), "-d", str(run / "old"),
                 "-D", str(run / "new"), "-U", "postgres", "-p", "50431", "-P", "50433", "-j", "2", "-o", given, "-O", given, "-k"],
                cwd=run, capture_output=True, text=True, check=False,
            )  # fmt: skip
            logs = "".join(
                file.read_text(errors="replace") for file in (run / "new").glob("pg_upgrade_output.d/*/log/*.log")
            )
            return None if done.returncode == 0 else done.stdout + done.stderr + logs
        finally:
            shutil.rmtree(run)
            for made_there in folder.glob("space*/PG_17*"):
                shutil.rmtree(made_there)
            old.start()


def initialize(new: Database, data: Path) -> None:
    new.run("initdb", "-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")


@pytest.fixture(scope="module")
def whole() -> Iterator[Here]:
    with tempfile.TemporaryDirectory(prefix="pgleap-") as folder, running(Path(folder)) as old:
        new = Database(old.folder, old.port, NEW)
        initialize(new, old.folder / "new")
        yield Here(old, new, Server().keeping_in(str(old.folder / "state")))


@pytest.fixture
def here(whole: Here, monkeypatch: pytest.MonkeyPatch) -> Here:
    """Before each test there is one database beside the usual ones, and it is empty."""
    for place in (pg_upgrade, trial):
        monkeypatch.setattr(place, "SOCKET_FOLDER", str(whole.old.folder))
    monkeypatch.setattr("agent.postgres.SOCKET_FOLDER", str(whole.old.folder))
    monkeypatch.setattr(pg_upgrade, "UPGRADE_HBA_RULES", "local all all trust\n")
    whole.old.folder.chmod(0o755)
    whole.old.sql("DROP DATABASE IF EXISTS shop WITH (FORCE)")
    whole.old.sql("CREATE DATABASE shop")
    shutil.rmtree(whole.old.folder / "state", ignore_errors=True)
    (whole.old.folder / "state").mkdir()
    return whole


def test_what_can_be_restored_is_no_finding(here: Here) -> None:
    """A trial that finds something everywhere is accepted unread."""
    here.old.sql("CREATE TABLE t (id int PRIMARY KEY, v text DEFAULT 'x'); CREATE VIEW w AS SELECT * FROM t", "shop")
    assert here.found() == []
    took = here.hold()
    assert took["databases"] == 3
    assert here.pg_upgrade() is None


LOCALE = Path("/usr/lib/locale/xx_XX.utf8")
RATES = """
CREATE FUNCTION public.base_rate() RETURNS numeric LANGUAGE sql IMMUTABLE AS $$ SELECT 1.2 $$;
CREATE FUNCTION public.gross(numeric) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$ SELECT $1 * base_rate() $$;
"""
# What is planted in the database shop; in whose words it is found; the object that has to be named.
FAILS: dict[str, tuple[str, str, str]] = {
    "an index over a function that names others without schema": (
        (
            "CREATE EXTENSION cube; CREATE EXTENSION earthdistance; CREATE TABLE places (id int, lat float8, lon float8);"
            "CREATE INDEX places_near ON places USING gist (ll_to_earth(lat, lon))"
        ),
        "does not exist",
        "shop: INDEX public places_near",
    ),
    "a generated column over such a function": (
        f"{RATES} CREATE TABLE items (id int, net numeric, gross numeric GENERATED ALWAYS AS (public.gross(net)) STORED)",
        "function base_rate() does not exist",
        "shop: TABLE public items",
    ),
    "a partition key over such a function": (
        f"{RATES} CREATE TABLE parts (id int, net numeric) PARTITION BY RANGE (public.gross(net))",
        "function base_rate() does not exist",
        "shop: TABLE public parts",
    ),
    "rights of a role that is gone": (
        (
            "CREATE ROLE reporting; ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO reporting; CREATE EXTENSION pg_stat_statements;"
            "DROP OWNED BY reporting; DROP ROLE reporting"
        ),
        "does not exist -- the rights of a role that is gone",
        "shop: ACL",
    ),
    "a function of one's own in pg_catalog": (
        (
            "CREATE FUNCTION pg_catalog.shop_now() RETURNS timestamptz LANGUAGE sql AS 'SELECT now()';"
            "CREATE TABLE o (id int PRIMARY KEY, at timestamptz DEFAULT shop_now())"
        ),
        "shop_now() does not exist",
        "shop: TABLE public o",
    ),
    "a generated child of a plain parent": (
        (
            "CREATE TABLE parent (a int, b int); CREATE TABLE child1 (a int, b int GENERATED ALWAYS AS (a * 2) STORED) INHERITS (parent);"
            "CREATE TABLE child2 (a int, b int GENERATED ALWAYS AS (a * 3) STORED); ALTER TABLE child2 INHERIT parent"
        ),
        'column "b" in child table must not be a generated column',
        "shop: TABLE public child",
    ),
    "a security label without its provider": (
        "CREATE TABLE labelled (); INSERT INTO pg_seclabel VALUES ('labelled'::regclass, 'pg_class'::regclass, 0, 'gone', 'secret')",
        'security label provider "gone" is not loaded',
        'shop: SECURITY LABEL public TABLE "labelled"',
    ),
}


@pytest.mark.parametrize("kind", FAILS)
def test_what_pg_upgrade_would_stop_at_is_found_before(here: Here, kind: str) -> None:
    """Found in the window alone, with writes refused, it is a night lost."""
    planted, words, named = FAILS[kind]
    here.old.sql(planted, "shop")
    found = here.found()
    assert any(one.startswith(named) and words in one for one in found), found
    said = here.pg_upgrade()
    assert said is not None
    assert words.partition(" --")[0] in said


def test_every_error_of_every_database_is_told(here: Here) -> None:
    """One each time costs as many rounds as there are errors."""
    here.old.sql(FAILS["a generated child of a plain parent"][0], "shop")
    here.old.sql("CREATE DATABASE other")
    try:
        here.old.sql(
            f"{FAILS['a function of one' + chr(39) + 's own in pg_catalog'][0]}; CREATE TABLE p (at timestamptz DEFAULT shop_now())", "other"
        )  # fmt: skip
        found = here.found()
        for named in (
            "shop: TABLE public child1",
            "shop: TABLE public child2",
            "other: TABLE public o",
            "other: TABLE public p",
        ):
            assert any(one.startswith(named) for one in found), (named, found)
    finally:
        here.old.sql("DROP DATABASE other")


def test_a_dictionary_whose_file_the_new_version_has_not(here: Here) -> None:
    """The file lies in no database: it has to be put onto DB_A by hand, and nobody knows."""
    of_old, of_new = (Path(f"/usr/share/postgresql/{one.parent.name}/tsearch_data") for one in (BINARIES[0], NEW))
    (of_old / "shop.syn").write_text("postgres pgsql\n")
    try:
        here.old.sql("CREATE TEXT SEARCH DICTIONARY words (TEMPLATE = synonym, SYNONYMS = shop)", "shop")
        (found,) = here.found()
        assert found.startswith("shop: TEXT SEARCH DICTIONARY public words: "), found
        assert 'could not open synonym file "' in found and "tsearch_data folder, into the new version's" in found
        assert "could not open synonym file" in str(here.pg_upgrade())
        shutil.copy(of_old / "shop.syn", of_new)
        here.hold()
        (of_new / "shop.syn").unlink()
        assert here.found(), "its file is gone again, and no catalog changed"
    finally:
        for folder in (of_old, of_new):
            (folder / "shop.syn").unlink(missing_ok=True)


def test_a_locale_that_db_a_has_not(here: Here) -> None:
    """Collations and settings name it; the catalog of the old version is content."""
    shutil.copytree("/usr/lib/locale/C.utf8", LOCALE)
    try:
        here.old.sql(
            "CREATE COLLATION german (provider = libc, locale = 'xx_XX.utf8'); ALTER DATABASE shop SET lc_time = 'xx_XX.utf8';"
            "CREATE ROLE german; ALTER ROLE german SET lc_monetary = 'xx_XX.utf8'",
            "shop",
        )
        assert here.found() == []
        shutil.rmtree(LOCALE)
        found = here.found()
        for named in ("shop: COLLATION public german: ERROR: could not create locale", "shop: DATABASE PROPERTIES"):
            assert any(one.startswith(named) for one in found), (named, found)
        assert any("lc_monetary" in one and one.startswith('ALTER ROLE "german"') for one in found), found
        assert "invalid value for parameter" in str(here.pg_upgrade())
    finally:
        shutil.rmtree(LOCALE, ignore_errors=True)
        here.old.sql("DROP ROLE german")


@pytest.mark.parametrize(
    ("name", "well"),
    [
        ("a=b", True), ("o'brien", True), ("Kunden \"alt\"", True), ("back\\slash", True), ("Ümläut", True), ("with space ", True), ("-dash", True),
        ("%s $HOME `id`", True), ("postgresql://x", True), ("tab\there", True), ("two\nlines", False), ("return\r", False),
    ],
)  # fmt: skip
def test_odd_names_of_databases(here: Here, name: str, well: bool) -> None:
    """One that a program takes for something else is tried as another, or refused where pg_upgrade is content."""
    quoted = name.replace('"', '""')
    here.old.sql(f'CREATE DATABASE "{quoted}"')
    try:
        found = here.found()
        assert (found == []) is well, found
        if not well:
            assert "newline or carriage return" in str(here.pg_upgrade())
            assert "newline or carriage return" in found[0] and "RENAME" in found[0]
    finally:
        here.old.sql(f'DROP DATABASE "{quoted}"')


def test_odd_names_of_other_things(here: Here) -> None:
    """Of roles, schemas, tables and settings, in the dump of all databases and in their own."""
    odd = "".join(f'''CREATE ROLE "{name}"; CREATE SCHEMA "{name}" AUTHORIZATION "{name}"; CREATE TABLE "{name}"."{name}" ("{name}" int);'''
                  for name in ("a=b", "o'brien", 'say ""x""', "two\nlines", "$x$", "back\\slash", "Command was:"))  # fmt: skip
    here.old.sql(odd + """ALTER ROLE "a=b" IN DATABASE shop SET application_name = 'x''y=z\nw'""", "shop")
    try:
        assert here.found() == []
        assert here.pg_upgrade() is None
    finally:
        here.old.sql("DROP DATABASE shop")
        here.old.sql("SELECT format('DROP ROLE %I', rolname) FROM pg_roles WHERE oid >= 16384 \\gexec")


def test_settings_of_a_role_that_is_gone(here: Here) -> None:
    """What pg_upgrade passes over must not be refused."""
    here.old.sql(
        "CREATE ROLE gone; ALTER ROLE gone SET work_mem = '1MB'; ALTER ROLE gone IN DATABASE shop SET work_mem = '2MB'"
    )
    here.old.sql("DELETE FROM pg_authid WHERE rolname = 'gone'")
    try:
        assert here.found() == []
        assert here.pg_upgrade() is None
    finally:
        here.old.sql("DELETE FROM pg_db_role_setting")


def test_tablespaces_large_objects_and_what_is_unlogged(here: Here) -> None:
    """A trial that makes a folder where pg_upgrade will is the very thing that it refuses; one on a standby cannot read what is unlogged."""
    spaces = [here.old.folder / "space1", here.old.folder / "space 2"]
    for number, space in enumerate(spaces):
        space.mkdir()
        shutil.chown(space, OS_USER)
        here.old.sql(f"""CREATE TABLESPACE "space {number}" LOCATION '{space}'""")
    here.old.sql('ALTER TABLESPACE "space 0" SET (random_page_cost = 1.5); CREATE DATABASE spaced TABLESPACE "space 1"')
    here.old.sql(
        'CREATE TABLE t (id int PRIMARY KEY) TABLESPACE "space 0"; INSERT INTO t VALUES (1);'
        "CREATE UNLOGGED TABLE u (id serial PRIMARY KEY); CREATE ROLE reader; SELECT lo_create(7); GRANT SELECT ON LARGE OBJECT 7 TO reader",
        "spaced",
    )
    before = [sorted(path.name for path in space.glob("*")) for space in spaces]
    try:
        (here.old.data / "standby.signal").touch()
        here.old.restart()
        assert here.old.sql("SELECT pg_is_in_recovery()") == "t\n"
        assert here.found() == []
        assert [sorted(path.name for path in space.glob("*")) for space in spaces] == before
        (here.old.data / "standby.signal").unlink()
        here.old.restart()
        assert here.pg_upgrade() is None
        assert here.old.sql("SELECT id FROM t", "spaced") == "1\n"
    finally:
        (here.old.data / "standby.signal").unlink(missing_ok=True)
        here.old.restart()
        here.old.sql("DROP DATABASE spaced")
        here.old.sql('DROP TABLESPACE "space 0"; DROP TABLESPACE "space 1"; DROP ROLE reader')


MANY = "SELECT format('CREATE TABLE t%s (id int primary key, a int unique)', g) FROM generate_series(1, 1500) g \\gexec"
FEW_LOCKS = {"max_locks_per_transaction": "10", "max_connections": "20"}


def test_too_few_locks(here: Here) -> None:
    """pg_dump holds one for each table, which nobody ever did before."""
    here.old.sql(MANY, "shop")
    before = here.old.settings
    try:
        here.old.restart(**FEW_LOCKS)
        found = here.found()
        assert found and "shop: its dump: " in found[0] and "max_locks_per_transaction" in found[0], found
        assert "max_locks_per_transaction" in str(here.pg_upgrade())
    finally:
        here.old.restart(**before)


def test_it_is_made_again_only_where_something_changed(here: Here) -> None:
    """Again each time it would cost minutes on the way to readonly; never again, and what was made since is found in the window."""
    first = here.hold()
    record = here.server.read_json(trial.RECORD)
    here.server.write_json(trial.RECORD, {**record, "at": 1})
    here.old.sql("CREATE TEMP TABLE passing (id int); ANALYZE; VACUUM FULL pg_class; REINDEX DATABASE shop", "shop")
    assert here.hold()["at"] == 1 and first["databases"] == 3
    here.old.sql("CREATE TABLE made (id int)", "shop")
    assert here.hold()["at"] != 1
    here.server.write_json(trial.RECORD, {**record, "at": 1, "found": ["something"]})
    assert here.hold()["at"] != 1, "what failed is tried again, whatever was mended"


def test_what_a_trial_left_that_died_is_taken_away(here: Here) -> None:
    """Its server would hold pg_upgrade's port, and its memory."""
    new = from_desired(here.old.desired()["newPostgres"])
    left = trial_cluster.at(here.server, here.postgres.cluster, new)
    pg_upgrade.prepare_folder(here.server, trial_cluster.WORK)
    config = here.old.folder / "new" / "postgresql.conf"
    text = config.read_text()
    # As Debian's configuration has it, too.
    config.write_text(f"{text}max_locks_per_transaction = 77\ndata_directory = '{new.data}'\n")
    left.make([])
    asked = here.server.run(str(NEW / "psql"), "-XAtc", "SHOW max_locks_per_transaction", "-d", "template1", user=OS_USER,
                            environment=left.environment())  # fmt: skip
    assert asked.stdout == "77\n", "a server of another configuration has other limits than pg_upgrade's"
    config.write_text(text)
    postmaster = left.postmaster()
    assert postmaster is not None and here.old.sql("SELECT 1") == "1\n"
    assert here.found() == []
    assert left.postmaster() is None and not Path(f"/proc/{postmaster}").exists()


def test_what_alter_system_set_counts_in_the_trial_too(here: Here) -> None:
    """It lies among the data, where the new cluster has it: without its limits, or what it loads ahead, a trial finds what pg_upgrade never will."""
    new = from_desired(here.old.desired()["newPostgres"])
    auto = Path(new.auto_config_file)
    before = auto.read_text()
    made = trial_cluster.at(here.server, here.postgres.cluster, new)
    pg_upgrade.prepare_folder(here.server, trial_cluster.WORK)
    auto.write_text(f"{before}max_locks_per_transaction = '78'\nport = '1'\n")
    try:
        made.make([])
        asked = here.server.run(str(NEW / "psql"), "-XAtc", "SHOW max_locks_per_transaction", "-d", "template1", user=OS_USER,
                                environment=made.environment())  # fmt: skip
        assert asked.stdout == "78\n"
    finally:
        auto.write_text(before)
        made.clear()


def test_another_server_whose_number_the_lock_file_has_is_not_ended(here: Here) -> None:
    """After a reboot the number may be the old version's standby."""
    new = from_desired(here.old.desired()["newPostgres"])
    folder = Path(trial_cluster.data_folder(new))
    folder.mkdir()
    pid = (here.old.data / "postmaster.pid").read_text().split("\n")[0]
    (folder / "postmaster.pid").write_text(f"{pid}\n{folder}\n")
    trial_cluster.clear(here.server, new)
    assert not folder.exists() and here.old.sql("SELECT 1") == "1\n"


def test_it_ends_in_time(here: Here) -> None:
    """What takes longer than pg_upgrade may take is no success, and a trial without an end holds up everything."""
    here.old.sql(MANY, "shop")
    with pytest.raises(Refusal, match=r"longer than 1.5 s \(limits.upgradeSeconds\)"):
        here.hold(seconds=1.5)
    here.nothing_is_left()


def test_a_new_version_that_does_not_start_is_told_with_its_words(here: Here) -> None:
    config = here.old.folder / "new" / "postgresql.conf"
    text = config.read_text()
    config.write_text(text + "shared_preload_libraries = 'not_there'\n")
    try:
        (found,) = here.found()
        assert 'could not access file "not_there"' in found
    finally:
        config.write_text(text)
