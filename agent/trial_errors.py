"""What the programs of a schema trial said, told by object: PostgreSQL's words, and what to do about them. Pure."""

from __future__ import annotations

import re
from typing import Dict, Iterable, List, Sequence, Tuple

_ENTRY = re.compile(r"^pg_restore: from TOC entry (\d+); \d+ \d+ (.*)$")
_ERROR = re.compile(r"^(?:pg_restore|pg_dump|pg_dumpall): (?:error|fatal|detail|hint): ?(.*)$")
_PROGRAM = re.compile(r"^(?:pg_restore|pg_dump|pg_dumpall): ")
_QUERY = "could not execute query: "
_COMMAND = "Command was: "
_LISTED = re.compile(r"^(\d+); \d+ \d+ (.*)$")
_PSQL = re.compile(r"^psql:.*?:(\d+): (ERROR|FATAL|PANIC|error): +(.*)$")
_PSQL_ANY = re.compile(r"^psql:.*?:\d+: ")
# A role's password, as pg_dumpall writes it: a hash, and nothing that is to be told.
_PASSWORD = re.compile(r"(?<= PASSWORD )'[^']*'")
_LONGEST = 700

# The first of these that the words match says what to do, on the old primary where it does not say otherwise.
ADVICE: Tuple[Tuple[str, str], ...] = (
    (
        r"newline or carriage return",
        "ALTER DATABASE ... RENAME TO a name of one line",
    ),
    (
        r"could not open (?:dictionary|affix|stop-word|thesaurus|synonym|unaccent|text search)\b|could not open .*(?:dictionary|tsearch)",
        "put the file, which the old primary has in its own tsearch_data folder, into the new version's on DB_A (pg_config --sharedir)",
    ),
    (
        r"could not create locale|invalid locale|could not open collator",
        "generate that locale on DB_A (Debian: /etc/locale.gen, then locale-gen; RPM: dnf install glibc-langpack-...), or drop the collation",
    ),
    (
        r'role "\d+" does not exist',
        (
            "the rights of a role that is gone stand in pg_init_privs: drop the extension and make it again, or, as a superuser, take the role's"
            " number out of pg_init_privs.initprivs"
        ),
    ),
    (
        r"unrecognized configuration parameter|parameter .* (?:cannot be (?:set|changed)|requires a)|invalid value for parameter",
        "ALTER ROLE ... RESET, ALTER DATABASE ... RESET or ALTER FUNCTION ... RESET it",
    ),
    (
        r"must not be a generated column|is not a generated column|child table",
        "have the column alike in parent and child: ALTER TABLE ... ALTER COLUMN ... DROP EXPRESSION in the child, or NO INHERIT",
    ),
    (
        r"out of shared memory|max_locks_per_transaction",
        "raise max_locks_per_transaction there and restart it: DB_A takes it over with the next `pulumi up`",
    ),
    (
        r"security label provider|label provider",
        "load the provider in the new version too (shared_preload_libraries, its package on DB_A), or SECURITY LABEL ... IS NULL",
    ),
    (
        r'unrecognized parameter "',
        "the two minor releases may be out of step: bring PostgreSQL's packages up to date on DB_A, the new version's first",
    ),
    (
        r"permission denied to create \"pg_catalog|pg_catalog\.\S+\(.*does not exist",
        "what somebody made in pg_catalog is in no dump: make it in a schema of your own, and have what uses it name that",
    ),
    (
        (
            r"during inlining|SQL function|PL/pgSQL function|inline_code_block|function .* does not exist|relation .* does not exist"
            r"|operator does not exist|type .* does not exist"
        ),
        (
            "what an index, a generated column, a default or a key calls is run without a search_path: write the schema before each name in it, or"
            " ALTER FUNCTION ... SET search_path = ...; what lies in pg_catalog and is your own belongs in a schema of your own"
        ),
    ),
    (
        r"No space left on device",
        "make room on DB_A, beside the new version's data folder",
    ),
)
OTHERWISE = "change or drop it"


def advised(words: str) -> str:
    """A sentence with what to do behind it."""
    do = next((do for pattern, do in ADVICE if re.search(pattern, words)), OTHERWISE)
    return f"{words} -- {do}"


def of_restore(database: str, said: str, listed: str) -> List[str]:
    """The errors in pg_restore's output, each with its object. `listed`: what `pg_restore --list` says of that dump, which names schemas."""
    entries = _entries(listed)
    found: List[Tuple[str, List[str]]] = []
    what, reading = "", False
    words: List[str] = []

    def end() -> None:
        if words:
            found.append((what, words))

    for line in said.splitlines():
        entry, error = _ENTRY.match(line), _ERROR.match(line)
        if entry:
            end()
            what, words, reading = entries.get(entry[1], entry[2]), [], False
        elif error:
            if line.startswith("pg_restore: error:"):
                end()
                words = []
            words.append(_without(error[1], _QUERY))
            reading = True
        elif line.startswith(_COMMAND) or _PROGRAM.match(line):
            reading = False
        elif reading and line.strip():
            words.append(line.strip())
    end()
    return [_told(database, what, words) for what, words in _causes(found)]


def _causes(errors: Sequence[Tuple[str, List[str]]]) -> List[Tuple[str, List[str]]]:
    """Without what only follows: a second error of an object (it has no owner, as it was not made), and one over an object that failed."""
    found: Dict[str, List[str]] = {}
    for what, words in errors:
        missing = re.search(r'"([^"]+)" does not exist', " ".join(words))
        of_that = f" {missing[1].replace('.', ' ', 1)}" if missing else None
        if of_that is None or not any(one.endswith(of_that) for one in found):
            found.setdefault(what, words)
    return list(found.items())


def of_dump(database: str, said: str) -> List[str]:
    """Why a dump could not be made."""
    lines = [_without(match[1], "query failed: ") for match in map(_ERROR.match, said.splitlines()) if match]
    more = [line for line in said.splitlines() if re.match(r"(?:HINT|DETAIL|CONTEXT): ", line)]
    return [_told(database, "its dump", [*lines, *more] or [said.strip()[-_LONGEST:]])]


def of_globals(said: str, text: str) -> List[str]:
    """The errors of the statements for all databases. `text`: those statements, which are told by their line."""
    statements = text.splitlines()
    found: List[str] = []
    words: List[str] = []
    what = ""
    for line in [*said.splitlines(), "psql:-:0: end"]:
        error = _PSQL.match(line)
        if error or _PSQL_ANY.match(line):
            if words:
                found.append(_told("", what, words))
            words = []
        if error:
            at = int(error[1])
            what = _PASSWORD.sub("...", statements[at - 1]) if 0 < at <= len(statements) else ""
            words = [f"{error[2]}:  {error[3]}"]
        elif words and line.strip():
            words.append(line.strip())
    return found


def _entries(listed: str) -> Dict[str, str]:
    found = {}
    for line in listed.splitlines():
        match = _LISTED.match(line)
        if match:
            found[match[1]] = match[2].rpartition(" ")[0]  # the last word is the owner
    return found


def _told(database: str, what: str, words: List[str]) -> str:
    where = ": ".join(part for part in (database, _short(what, 200)) if part)
    said = _short(" ".join(words), _LONGEST)
    return advised(f"{where}: {said}" if where else said)


def _short(text: str, longest: int) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= longest else f"{flat[:longest]}..."


def _without(text: str, prefix: str) -> str:
    return text[len(prefix) :] if text.startswith(prefix) else text


def of_names(databases: Iterable[str]) -> List[str]:
    """Databases that pg_upgrade refuses by their names alone: it calls programs by a shell (string_utils.c, appendShellString)."""
    return [
        advised(f"database {name!r}: database name contains a newline or carriage return")
        for name in databases
        if "\n" in name or "\r" in name
    ]
