"""A real catalog in the lab: a file of `pg_dump --schema-only` restored into a database of its own, and what of it was not.

Roles that it names are made, without a login. What the lab cannot have (an extension that its image lacks, a tablespace, a setting of a newer
pg_dump) fails by itself, and is told with the objects that needed it: the rest is rehearsed. What fails over the schema itself would
fail in the window, too (own_faults), and is told so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rehearsal.asked import Dump
from rehearsal.data import own_faults
from rehearsal.data.fill import Psql
from rehearsal.lab.place import LabError

MOST_TOLD = 20
# pg_dump's own frame, not part of the schema; a psql that does not know them would stop there.
_FRAME = re.compile(r"^\\(un)?restrict \w+[ \t]*$", re.MULTILINE)
_EXTENSION = re.compile(r'^CREATE EXTENSION (?:IF NOT EXISTS )?("(?:[^"]|"")+"|\w+)', re.MULTILINE)
_NAME = r'("(?:[^"]|"")+"|[A-Za-z_][\w$]*)'
# As pg_dump writes them, each at the beginning of a line.
_ROLES = tuple(
    re.compile(pattern, re.MULTILINE)
    for pattern in (
        rf"^ALTER .* OWNER TO {_NAME};$",
        rf"^(?:GRANT|REVOKE) .* (?:TO|FROM) {_NAME}(?: WITH GRANT OPTION| GRANTED BY {_NAME})?;$",
        rf"^ALTER DEFAULT PRIVILEGES FOR ROLE {_NAME} .*?(?:(?:TO|FROM) {_NAME})?(?: WITH GRANT OPTION)?;$",
        rf"^CREATE SCHEMA .* AUTHORIZATION {_NAME};$",
        rf"^CREATE USER MAPPING FOR {_NAME} ",
        rf"^SET SESSION AUTHORIZATION {_NAME};$",
    )
)
_POLICY = re.compile(r"^CREATE POLICY .*? TO (.+?)(?: USING \(| WITH CHECK \(|;$)", re.MULTILINE)
_NO_ROLES = {"public", "current_user", "session_user", "current_role", "default", "postgres"}
_HEADER = re.compile(r"^-- Name: (?P<name>.*); Type: (?P<type>[A-Z ]+); Schema: (?P<schema>[^;]*);")
_ERROR = re.compile(r"^psql:<stdin>:(?P<line>\d+): (?:ERROR|FATAL):\s+(?P<message>.*)$", re.MULTILINE)
# A session's setting that only a newer pg_dump's server knows says nothing of the schema.
_HARMLESS = re.compile(r'^unrecognized configuration parameter "')
_COUNTS = """
SELECT CASE relkind WHEN 'r' THEN 'tables' WHEN 'p' THEN 'partitioned tables' WHEN 'i' THEN 'indexes' WHEN 'I' THEN 'indexes'
    WHEN 'S' THEN 'sequences' WHEN 'v' THEN 'views' WHEN 'm' THEN 'materialized views' ELSE 'other relations' END, count(*)
FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
WHERE nspname NOT IN ('pg_catalog', 'information_schema') AND nspname !~ '^pg_(toast|temp)' GROUP BY 1
UNION ALL SELECT 'functions', count(*) FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace
WHERE nspname NOT IN ('pg_catalog', 'information_schema') HAVING count(*) > 0
UNION ALL SELECT 'triggers', count(*) FROM pg_trigger WHERE NOT tgisinternal HAVING count(*) > 0
UNION ALL SELECT 'extensions', count(*) FROM pg_extension WHERE extname <> 'plpgsql' HAVING count(*) > 0 ORDER BY 1;
"""


@dataclass(frozen=True)
class Failed:
    """A statement that the lab refused: which object it was to make, as `TYPE schema.name`, and what was said. `own`: over the schema itself."""

    what: str
    message: str
    own: bool = False


@dataclass(frozen=True)
class Restored:
    """What became of one file: how many objects of each kind are in its database, and what is not."""

    database: str
    counts: dict[str, int]
    extensions_missing: tuple[str, ...] = ()
    failed: tuple[Failed, ...] = ()
    roles: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """What is rehearsed of it."""
        counted = ", ".join(f"{number} {kind}" for kind, number in self.counts.items())
        return f"{self.database}: restored {counted}; {len(self.roles)} roles made without a login"

    @property
    def not_rehearsed(self) -> list[str]:
        """What of it is not, in sentences; none if all of it is."""
        said = [f"{self.database}: the extension {name} is not in the lab's image" for name in self.extensions_missing]
        lacking = [one for one in self.failed if not one.own]
        said += [f"{self.database}: {one.what}: {one.message}" for one in lacking[:MOST_TOLD]]
        if len(lacking) > MOST_TOLD:
            said.append(f"{self.database}: and {len(lacking) - MOST_TOLD} statements more that were refused")
        return said

    @property
    def fails_in_window(self) -> list[str]:
        """What of it would stop pg_upgrade, in sentences: nothing that the lab lacks."""
        return [
            f"{own_faults.IN_THE_WINDOW}: {self.database}: {one.what}: {one.message}" for one in self.failed if one.own
        ]


def restore(psql: Psql, psql_on: Callable[[str, str], str], dump: Dump) -> Restored:
    """Make the database, the roles, and all that the file has of which the server knows. `psql` stops at an error; `psql_on` goes on, and its
    output has them. Raises LabError for a file that is no plain schema, or of which nothing could be restored."""
    text = read(dump)
    there = set(psql("postgres", "SELECT rolname FROM pg_roles;").splitlines())
    made = [role for role in roles(text) if role not in there]
    wanted = extensions(text)
    available = set(psql("postgres", "SELECT name FROM pg_available_extensions;").splitlines())
    psql(
        "postgres",
        "".join(f"CREATE ROLE {quoted(role)} NOLOGIN;\n" for role in made)
        + f"CREATE DATABASE {dump.database} TEMPLATE template0;",
    )
    missing = tuple(name for name in wanted if name not in available)
    refused = failed(psql_on(dump.database, text), text, missing)
    rows = (line.split("|") for line in psql(dump.database, _COUNTS).splitlines())
    counts = {kind: int(number) for kind, number in rows}
    if not counts:
        said = "; ".join(f"{one.what}: {one.message}" for one in refused[:3]) or "it makes nothing"
        raise LabError(
            f"Expected a schema in {dump.file}, and nothing of it could be restored into {dump.database} ({said}): make it with"
            " `pg_dump --schema-only DATABASE > FILE`."
        )
    return Restored(dump.database, counts, missing, tuple(refused), tuple(made))


def read(dump: Dump) -> str:
    """The file's text, without pg_dump's own frame. Raises LabError for what is no plain schema of one database."""
    content = dump.file.read_bytes()
    if content.startswith(b"PGDMP"):
        raise LabError(
            f"Expected plain SQL in {dump.file}, found pg_dump's custom format: make it plain, `pg_restore --schema-only -f FILE {dump.file}`."
        )
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise LabError(
            f"Expected UTF-8 in {dump.file}, found other bytes ({error}): dump it with `--encoding=UTF8`."
        ) from error
    if found := re.search(r"^(\\connect .*|CREATE DATABASE .*)$", text, re.MULTILINE):
        raise LabError(
            f"Expected the schema of one database in {dump.file}, found `{found[1]}`: make it with `pg_dump --schema-only DATABASE`, without"
            " --create, and each database's in a file of its own."
        )
    return _FRAME.sub("", text)


def extensions(text: str) -> list[str]:
    """The extensions that a schema makes. Pure."""
    return list(dict.fromkeys(_plain(name) for name in _EXTENSION.findall(text)))


def roles(text: str) -> list[str]:
    """The roles that a schema names, in its order. Pure. One that only looks like a statement, in a function's body, is harmless."""
    found: list[str] = []
    for pattern in _ROLES:
        for names in pattern.findall(text):
            found += [names] if isinstance(names, str) else [name for name in names if name]
    for several in _POLICY.findall(text):
        found += re.findall(_NAME, several)
    return [name for name in dict.fromkeys(_plain(one) for one in found) if name.lower() not in _NO_ROLES]


def failed(printed: str, text: str, missing: Sequence[str]) -> list[Failed]:
    """The statements that were refused, from what psql printed; those of extensions that are known to be missing are left out. Pure."""
    headers: list[tuple[int, str]] = []
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            schema = "" if header["schema"] == "-" else f"{header['schema']}."
            headers.append((number, f"{header['type']} {schema}{header['name']}"))
    found = []
    for error in _ERROR.finditer(printed):
        what = next((what for at, what in reversed(headers) if at <= int(error["line"])), f"line {error['line']}")
        if _HARMLESS.match(error["message"]):
            continue
        # Beside CREATE EXTENSION there is a COMMENT ON EXTENSION of the same name.
        if any(
            what in (f"EXTENSION {name}", f"COMMENT EXTENSION {name}") or f'extension "{name}"' in error["message"]
            for name in missing
        ):
            continue
        more = printed[error.end() :].partition("\npsql:")[0]
        found.append(Failed(what, error["message"], own_faults.is_own(error["message"], more, text, missing)))
    return found


def quoted(name: str) -> str:
    """An identifier as SQL wants it. Pure."""
    return '"' + name.replace('"', '""') + '"'


def _plain(name: str) -> str:
    """An identifier as it stands in the catalog: PostgreSQL folds what is not quoted."""
    return name[1:-1].replace('""', '"') if name.startswith('"') else name.lower()
