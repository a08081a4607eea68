"""What a database or a role sets that the stream back and its reader cannot set aside for themselves (agent.session_settings has the rest)."""

from __future__ import annotations

from typing import List

from agent.check_names import CheckName
from agent.checks.check import Check, Severity, Side, Unseen
from agent.checks.sight import Sight
from agent.checks.wording import few
from agent.client_rules import LOCAL_ROLE, READER

# The stream's own session counts, and two may read beside it (PostgreSQL documentation, CREATE DATABASE: superusers alone are exempt).
SESSIONS = 3
LIMITS = f"""SELECT datname AS name, datconnlimit AS most FROM pg_database
WHERE datallowconn AND NOT datistemplate AND datconnlimit BETWEEN 0 AND {SESSIONS - 1} ORDER BY 1"""
# Of a worker that applies, whose session nobody begins with settings of its own, and of the session that sends to it, which sets the last
# three itself from 15 on (libpqwalreceiver.c). What is set for everybody is the same on both sides.
SETTINGS = f"""SELECT coalesce(quote_ident(r.rolname), '') AS role, coalesce(quote_ident(d.datname), '') AS database, c.setting
FROM pg_db_role_setting s LEFT JOIN pg_roles r ON r.oid = s.setrole LEFT JOIN pg_database d ON d.oid = s.setdatabase
CROSS JOIN LATERAL unnest(s.setconfig) c(setting)
WHERE (s.setrole = 0 OR r.rolname IN ('{READER}', '{LOCAL_ROLE}'))
  AND (c.setting ~* '^(role|session_authorization)=' AND c.setting !~* '^role=none$'
    OR c.setting ~* '^array_nulls=(off|false|no|0|f|n)$' OR c.setting ~* '^xmloption=document$'
    OR c.setting ~* '^extra_float_digits=(0|-.*)$' AND current_setting('server_version_num')::int < 150000) ORDER BY 1, 2, 3"""


def _must_stream(sight: Sight) -> None:
    if not sight.desired["reverse"]["enabled"]:
        raise Unseen("the stack has no stream back (reverseReplication.enabled)")


def _connection_limits(sight: Sight) -> List[str]:
    _must_stream(sight)
    return few([f"{row['name']} has CONNECTION LIMIT {row['most']}" for row in sight.rows(LIMITS)])


def _session_settings(sight: Sight) -> List[str]:
    _must_stream(sight)
    found = []
    for row in sight.rows(SETTINGS):
        role = f"the role {row['role']}" if row["role"] else ""
        database = f"the database {row['database']}" if row["database"] else ""
        found.append(f"{' in '.join(part for part in (role, database) if part) or 'everybody'} has {row['setting']}")
    return few(found)


CHECKS = (
    Check(
        name=CheckName.CONNECTION_LIMITS,
        severity=Severity.REFUSE,
        sides=(Side.OLD_PRIMARY,),
        why="the role by which the two sides read each other is no superuser: it would not get in beside the stream, and a way back after cutover is"
        " refused then, for sequences and contents cannot be compared",
        do=f"ALTER DATABASE ... CONNECTION LIMIT -1, or {SESSIONS} at least; to keep others out REVOKE CONNECT ON DATABASE ... FROM PUBLIC",
        look=_connection_limits,
    ),
    Check(
        name=CheckName.SESSION_SETTINGS,
        severity=Severity.REFUSE,
        sides=(Side.OLD_PRIMARY,),
        why="the worker that applies what DB_A writes begins with these: as another role it may not write, and values would arrive otherwise than they"
        " were sent",
        do="ALTER DATABASE ... RESET ..., and set it for the roles that need it (ALTER ROLE ... IN DATABASE ... SET)",
        look=_session_settings,
    ),
)
