"""Names as people give them, on PostgreSQL servers of the test's own: nothing may read more into them than a name."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from agent.checks import catalog_names
from agent.subscriber import Subscriber
from tests.agent.two_sides import NEEDS_POSTGRESQL, Sides, two_sides

pytestmark = NEEDS_POSTGRESQL
DATABASES = (
    "a=b", "postgresql://x", "postgres://y?host=nowhere", "o'brien", 'Kunden "alt"', "back\\slash", "Ümläut", "with space ", "-dash",
    "%s $HOME `id`", "tab\there", "host=127.0.0.2 dbname=postgres", "日本",
)  # fmt: skip


@pytest.fixture(scope="module")
def sides() -> Iterator[Sides]:
    with two_sides() as found:
        yield found


@pytest.mark.parametrize("name", DATABASES)
def test_a_database_is_found_by_its_name(sides: Sides, name: str) -> None:
    """A name that is taken for a connection string leads to another database, or to nowhere."""
    sides.make_database(name)
    try:
        assert sides.old.postgres.rows("SELECT current_database() AS it", name) == [{"it": name}]
        assert sides.new.other().read_json("SELECT json_build_array(current_database())", name) == [name]
        with sides.old.database.sight() as sight:
            assert sight.row("SELECT current_database() AS it", name) == {"it": name}
        conninfo = Subscriber(sides.old.postgres, sides.new.other(), 1).conninfo(name).replace("'", "''")
        sides.new.sql("CREATE PUBLICATION pgleap_back", name)
        # As the worker that applies connects; a trailing or wrong name would be refused here.
        sides.old.sql(
            f"CREATE SUBSCRIPTION it CONNECTION '{conninfo}' PUBLICATION pgleap_back WITH (create_slot = false, enabled = false)",
            name,
        )
        sides.old.sql("ALTER SUBSCRIPTION it SET (slot_name = NONE)", name)
        sides.old.sql("DROP SUBSCRIPTION it", name)
    finally:
        quoted = name.replace('"', '""')
        sides.both(f'DROP DATABASE "{quoted}" WITH (FORCE);')


@pytest.mark.parametrize(
    "how",
    ["encoding", "database", "role"],
)
def test_names_arrive_whatever_the_encoding(sides: Sides, how: str) -> None:
    """A name that arrives broken is a table that nobody publishes, and a sequence that nobody sets."""
    sides.make_database(
        "other", "ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0" if how == "encoding" else ""
    )
    where = {"encoding": "", "database": "ALTER DATABASE other SET client_encoding = 'LATIN1';",
             "role": "ALTER ROLE postgres SET client_encoding = 'LATIN1'; ALTER ROLE pgleap SET client_encoding = 'LATIN1';"}[how]  # fmt: skip
    try:
        sides.both('CREATE TABLE "bücher" (id int PRIMARY KEY)', "other")
        sides.both(where)
        asked = "SELECT relname FROM pg_class WHERE relname LIKE 'b_cher'"
        assert sides.old.postgres.rows(asked, "other") == [{"relname": "bücher"}]
        assert sides.new.other().ask(asked, "other") == "bücher"
        with sides.old.database.sight() as sight:
            assert sight.rows(asked, "other") == [{"relname": "bücher"}]
    finally:
        sides.both("ALTER ROLE postgres RESET ALL; ALTER ROLE pgleap RESET ALL; DROP DATABASE other WITH (FORCE);")


def test_names_that_pg_upgrade_cannot_take_are_refused_ahead(sides: Sides) -> None:
    """They pass `pg_upgrade --check`, and end the window."""
    old = sides.old
    with old.database.sight() as sight:
        assert catalog_names.CHECKS[0].look(sight) == []
    old.sql(
        "CREATE DATABASE \"two\nlines\";\nCREATE ROLE \"car\rriage\";\nCREATE DATABASE bytes ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0;"
    )
    try:
        old.sql("DO $$ BEGIN EXECUTE 'CREATE TABLE \"b' || chr(252) || 'cher\" (id int)'; END $$;", "bytes")
        with old.database.sight() as sight:
            found = catalog_names.CHECKS[0].look(sight)
        assert found == [
            "the database 'two\\nlines' has a line end in its name",
            "the role 'car\\rriage' has a line end in its name",
            "bytes: the name public.b\\xfccher is not UTF-8, in a database without an encoding (SQL_ASCII)",
        ]
    finally:
        old.sql('DROP DATABASE "two\nlines";\nDROP ROLE "car\rriage";\nDROP DATABASE bytes;')
