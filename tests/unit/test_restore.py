"""A file of `pg_dump --schema-only`, read: whose roles and extensions it wants, and what of it the lab's server refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from rehearsal.asked import Dump
from rehearsal.data.restore import Failed, Restored, extensions, failed, read, restore, roles
from rehearsal.lab.place import LabError

TEXT = '''\
--
-- PostgreSQL database dump
--

\\restrict abcDEF123

SET transaction_timeout = 0;
SET client_encoding = 'UTF8';

--
-- Name: postgis; Type: EXTENSION; Schema: -; Owner: -
--

CREATE EXTENSION IF NOT EXISTS postgis WITH SCHEMA public;


--
-- Name: EXTENSION postgis; Type: COMMENT; Schema: -; Owner:
--

COMMENT ON EXTENSION postgis IS 'spatial';

CREATE EXTENSION IF NOT EXISTS "uuid-ossp" WITH SCHEMA public;

--
-- Name: crm; Type: SCHEMA; Schema: -; Owner: crm_owner
--

CREATE SCHEMA crm;
ALTER SCHEMA crm OWNER TO crm_owner;

--
-- Name: place; Type: TABLE; Schema: crm; Owner: Crm Admin
--

CREATE TABLE crm.place (
    at public.geometry
);
ALTER TABLE crm.place OWNER TO "Crm Admin";

CREATE POLICY own ON crm.person FOR SELECT TO tenant, "Odd ""one""" USING ((tenant = CURRENT_USER));
GRANT SELECT ON TABLE crm.person TO reporting WITH GRANT OPTION;
SET SESSION AUTHORIZATION reporting;
GRANT SELECT ON TABLE crm.person TO audit;
RESET SESSION AUTHORIZATION;
REVOKE ALL ON FUNCTION crm.f() FROM PUBLIC;
GRANT ALL ON SCHEMA public TO postgres;
ALTER DEFAULT PRIVILEGES FOR ROLE migrator IN SCHEMA crm GRANT SELECT ON TABLES TO reader;

\\unrestrict abcDEF123
'''


def line_of(words: str) -> int:
    return next(number for number, line in enumerate(TEXT.splitlines(), 1) if words in line)


def test_every_role_is_found() -> None:
    """An owner that is missing leaves the object with the superuser, which is another catalog."""
    assert sorted(roles(TEXT)) == [
        "Crm Admin", 'Odd "one"', "audit", "crm_owner", "migrator", "reader", "reporting", "tenant",
    ]  # fmt: skip


def test_every_extension_is_found() -> None:
    """One that is overlooked is not told of when it is missing."""
    assert extensions(TEXT) == ["postgis", "uuid-ossp"]


def test_what_was_refused_is_told_by_the_objects_name() -> None:
    """An error without its object is looked for in a file of thousands of lines; the reason must not be told twice."""
    printed = f"""\
psql:<stdin>:{line_of("transaction_timeout")}: ERROR:  unrecognized configuration parameter "transaction_timeout"
psql:<stdin>:{line_of("CREATE EXTENSION IF NOT EXISTS postgis")}: ERROR:  extension "postgis" is not available
DETAIL:  Could not open extension control file.
psql:<stdin>:{line_of("COMMENT ON EXTENSION")}: ERROR:  extension "postgis" does not exist
psql:<stdin>:{line_of("at public.geometry") + 1}: ERROR:  type "public.geometry" does not exist
"""
    assert failed(printed, TEXT, ["postgis"]) == [
        Failed("TABLE crm.place", 'type "public.geometry" does not exist'),
    ]


def test_pg_dumps_frame_is_taken_away_and_lines_stay_where_they_are(tmp_path: Path) -> None:
    """A psql that does not know it stops there; a line fewer would name the wrong object."""
    file = tmp_path / "crm.sql"
    file.write_text(TEXT)
    text = read(Dump("crm", file))
    assert "restrict abc" not in text
    assert text.splitlines()[line_of("CREATE SCHEMA crm") - 1] == "CREATE SCHEMA crm;"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"PGDMP\x01\x0e", "pg_restore --schema-only -f FILE"),
        (b"CREATE DATABASE crm WITH TEMPLATE = template0;\n\\connect crm\n", "without --create"),
        (b"-- caf\xe9\n", "--encoding=UTF8"),
    ],
)
def test_what_is_no_plain_schema_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    """A dump that goes to another database would be restored over it, and none of it be rehearsed."""
    file = tmp_path / "crm.sql"
    file.write_bytes(content)
    with pytest.raises(LabError) as error:
        read(Dump("crm", file))
    assert words in str(error.value)


class Server:
    """Answers as a psql does, and keeps what it was told."""

    def __init__(self, counts: str, printed: str = "") -> None:
        self.counts, self.printed, self.told = counts, printed, list[tuple[str, str]]()

    def psql(self, database: str, text: str) -> str:
        self.told.append((database, text))
        if "pg_available_extensions" in text:
            return "uuid-ossp\nhstore\n"
        if "pg_roles" in text:
            return "postgres\nreporting\n"
        return self.counts if "relkind" in text else ""

    def psql_on(self, database: str, text: str) -> str:
        self.told.append((database, text))
        return self.printed


def test_what_is_restored_and_what_is_not_is_said(tmp_path: Path) -> None:
    """An extension that the lab has not got is the very one that would fail in the night: it must be named."""
    file = tmp_path / "crm.sql"
    file.write_text(TEXT)
    many = "".join(f"psql:<stdin>:{line_of('CREATE SCHEMA crm')}: ERROR:  number {n}\n" for n in range(25))
    server = Server("tables|7\nviews|2\n", many)
    made = restore(server.psql, server.psql_on, Dump("crm", file))
    assert made.sentence == "crm: restored 7 tables, 2 views; 7 roles made without a login"
    assert made.not_rehearsed[0] == "crm: the extension postgis is not in the lab's image"
    assert made.not_rehearsed[-1] == "crm: and 5 statements more that were refused"
    assert len(made.not_rehearsed) == 22
    ((_, roles_made),) = [(where, text) for where, text in server.told if "CREATE DATABASE" in text]
    assert 'CREATE ROLE "Odd ""one""" NOLOGIN;' in roles_made
    assert "reporting" not in roles_made, "it is there already"


def test_a_schema_of_which_nothing_is_there_is_refused(tmp_path: Path) -> None:
    """An empty database would be compared, found equal, and be called the real catalog."""
    file = tmp_path / "crm.sql"
    file.write_text("SELECT 1;\n")
    server = Server("")
    with pytest.raises(LabError, match="nothing of it could be restored into crm"):
        restore(server.psql, server.psql_on, Dump("crm", file))


def test_all_of_it_restored_is_no_complaint() -> None:
    """A line that is always there is read by nobody."""
    assert Restored("crm", {"tables": 1}).not_rehearsed == []
