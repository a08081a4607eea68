"""Names in the catalog that pg_upgrade, or pgleap, cannot take."""

from __future__ import annotations

from typing import List

from agent.check_names import CheckName
from agent.checks.check import Check, Severity, Side
from agent.checks.sight import Sight
from agent.checks.wording import few

# pg_upgrade hands names of databases to other programs by a shell, which it refuses to do with a line end in one (fe_utils/string_utils.c,
# appendShellString); later versions forbid such a name to databases, roles and tablespaces alike.
SHARED = """SELECT what, name FROM (
  SELECT 'database' AS what, datname AS name FROM pg_database UNION ALL SELECT 'role', rolname FROM pg_roles
  UNION ALL SELECT 'tablespace', spcname FROM pg_tablespace
) q WHERE name ~ '[\\n\\r]' ORDER BY 1, 2"""
UNVOUCHED = (
    "SELECT datname FROM pg_database WHERE datallowconn AND pg_encoding_to_char(encoding) = 'SQL_ASCII' ORDER BY oid"
)
# As bytes: as text the server would refuse to say them.
BYTES = """SELECT encode(convert_to(n.nspname || '.' || c.relname, 'SQL_ASCII'), 'hex') AS name
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'S', 'v', 'm', 'f') ORDER BY c.oid"""


def _names(sight: Sight) -> List[str]:
    found = [f"the {row['what']} {row['name']!r} has a line end in its name" for row in sight.rows(SHARED)]
    for row in sight.rows(UNVOUCHED):
        for each in sight.rows(BYTES, row["datname"]):
            name = bytes.fromhex(each["name"])
            try:
                name.decode()
            except UnicodeDecodeError:
                shown = name.decode(errors="backslashreplace")
                found.append(
                    f"{row['datname']}: the name {shown} is not UTF-8, in a database without an encoding (SQL_ASCII)"
                )
    return few(found)


CHECKS = (
    Check(
        name=CheckName.CATALOG_NAMES,
        severity=Severity.REFUSE,
        sides=(Side.OLD_PRIMARY,),
        why="pg_upgrade fails in the window over a line end in such a name, and pgleap cannot tell its servers of a name that is not UTF-8",
        do="ALTER DATABASE (ROLE, TABLESPACE, TABLE, SEQUENCE) ... RENAME TO ..., in a client with its client_encoding set to SQL_ASCII for the latter",
        look=_names,
    ),
)
