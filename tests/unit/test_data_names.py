"""One schema on servers of two versions, as a rehearsal compares them: names of any kind, and columns of any name."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from rehearsal.data import compare, definitions
from tests.unit.own_server import BINARIES, running

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.skipif(not BINARIES, reason="no PostgreSQL server at /usr/lib/postgresql/*/bin"),
]
SCHEMA = """
CREATE SCHEMA json; CREATE TABLE json.docs (id serial PRIMARY KEY); CREATE TABLE public.json (pgleap_row text, other int);
CREATE TABLE "system_user" (id int PRIMARY KEY REFERENCES json.docs); CREATE SEQUENCE merge_action; CREATE TABLE "two
lines" (id serial); CREATE TABLE "pipe|d" (id int); CREATE TABLE "Mixed ""q"" x" (id int); CREATE VIEW json_table AS SELECT 1 AS json;
INSERT INTO public.json VALUES ('same', 1);
"""


def test_names_are_the_same_on_both_versions() -> None:
    """A rehearsal failed on a table that one version quotes and the other one does not; a column hid the others of its table."""
    seen = []
    for binaries in (BINARIES[0], BINARIES[-1]):
        with tempfile.TemporaryDirectory(prefix="pgleap-") as folder, running(Path(folder), binaries) as server:
            server.psql("postgres", 'CREATE DATABASE "with space"')
            server.psql("with space", SCHEMA)
            found = compare.fingerprint(server.psql), definitions.definitions(server.psql, ["with space"])
            seen.append(found)
            server.psql("with space", "UPDATE public.json SET other = 2")
            assert compare.differences(found[0], compare.fingerprint(server.psql)) == [
                "with space: table public.json differs: 1 rows before, 1 after"
            ]
    (contents, defined), (contents_after, defined_after) = seen
    assert set(contents["with space"].tables) == {
        "json.docs", "public.json", "public.system_user", 'public."two\\nlines"', 'public."pipe|d"', 'public."Mixed ""q"" x"',
    }  # fmt: skip
    assert compare.differences(contents, contents_after) == []
    assert definitions.changed(defined, defined_after) == []
