"""Verb `credentials`: the role pgleap on the old primary, and its password on both database servers.

The role is how DB_A streams and how each side reads the other's journal. Its grants: REPLICATION, LOGIN, and EXECUTE on the
functions of the schema pgleap below; pg_hba admits it from the other side's address only. Nothing else uses it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
from typing import Any, Dict, List, Mapping, Optional

from agent import access, coverage, functions, session_settings, short_locks
from agent.client_rules import READER
from agent.cluster import OS_USER, from_desired
from agent.postgres import PASSWORD_FILE, Postgres
from agent.report import Facts, Refusal
from agent.server import Server

SCRAM_ITERATIONS = 4096


def credentials(desired: Mapping[str, Any], server: Server) -> Facts:
    """Keep the password where pgleap's programs find it and, where `owns_role` is set, have the role and its functions.

    A new replica also gets that of `replication`: the fleet's own role that it streams as.
    """
    password = desired["password"]
    passwords = {READER: password}
    streams_as = desired.get("replication")
    if streams_as:
        passwords[streams_as["user"]] = streams_as["password"]
    changed: List[str] = []
    if desired["owns_role"]:  # first, for it may refuse: the other password would be of no use then
        changed += have_role(Postgres(server, from_desired(desired["postgres"]), desired["address"]), password)
    changed += keep_passwords(server, passwords)
    return {
        "changed": changed,
        "because": "role and password were brought up to date" if changed else "they are there already",
        "functions": desired.get("functions"),
    }


def password_line(user: str, password: str) -> str:
    """libpq's password file escapes these two (PostgreSQL documentation, "The Password File"). Pure."""
    user, password = (text.replace("\\", "\\\\").replace(":", "\\:") for text in (user, password))
    return f"*:*:*:{user}:{password}\n"


def password_of(user: str, text: str) -> Optional[str]:
    """A role's password in a file of such lines; None if there is none. Pure."""
    start = password_line(user, "")[:-1]
    found = next((line for line in text.splitlines() if line.startswith(start)), None)
    return None if found is None else re.sub(r"\\(.)", r"\1", found[len(start) :])


def have_role(postgres: Postgres, password: str) -> List[str]:
    """Create or mend the role and its functions; nothing is written (and no transaction id taken) if they are right."""
    statements = role_statements(postgres, READER, password)
    sealed = access.is_sealed(postgres.server, postgres.cluster)
    if statements and sealed:
        raise Refusal(
            f"the role {READER} as it was before the database was sealed",
            "a difference (was the password changed?), and writing now would move the fence",
            "put the old password back, or go back to prepare and change it there",
        )
    for what, sql in statements.items():
        short_locks.execute(postgres, sql, what=what)
    if sealed:  # a database made right before the seal: no way back after cutover covers it, and status says so
        return list(statements)
    without = functions.missing(postgres, coverage.databases(postgres))
    for database in without:
        functions.make(postgres, database)
    return list(statements) + [f"made the functions of the schema pgleap in {database}" for database in without]


def role_statements(postgres: Postgres, role: str, password: str) -> Dict[str, str]:
    """What makes or mends a role that streams: what it does, and the SQL; nothing if it is right."""
    has = "coalesce((SELECT setconfig FROM pg_db_role_setting WHERE setrole = pg_authid.oid AND setdatabase = 0), '{}')"
    wanted = session_settings.of_a_role(postgres.cluster.version)
    settings = ", ".join(f"'{name}={value}'" for name, value in wanted.items())
    found = postgres.rows(
        f"SELECT rolpassword, rolreplication AND rolcanlogin AND NOT rolsuper AND {has} @> ARRAY[{settings}]::text[] AS fits"
        f" FROM pg_authid WHERE rolname = '{role}'"
    )
    if found and found[0]["fits"] and verifies(found[0]["rolpassword"] or "", password):
        return {}
    return {
        f"{'altered' if found else 'created'} the role {role}": (
            # log_statement must not have even the verifier; a superuser may switch it off for its own session.
            "SET log_statement = 'none'; SET log_min_error_statement = 'panic';\n"
            f"{'ALTER' if found else 'CREATE'} ROLE {role} LOGIN REPLICATION NOSUPERUSER NOCREATEDB NOCREATEROLE "
            f"PASSWORD '{scram_verifier(password)}';\n{session_settings.for_role(role, postgres.cluster.version)}"
        )
    }


def keep_passwords(server: Server, passwords: Mapping[str, str]) -> List[str]:
    """Have these roles' passwords, and no others, where pgleap's programs find them. What was done."""
    file, text = server.path(PASSWORD_FILE), "".join(password_line(*each) for each in passwords.items())
    if file.exists() and file.read_text() == text:
        return []
    server.write_durably(PASSWORD_FILE, text.encode(), mode=0o600, owner=server.owner(OS_USER))
    return [f"wrote {server.place(PASSWORD_FILE)}"]


def scram_verifier(password: str, salt: bytes = b"", iterations: int = SCRAM_ITERATIONS) -> str:
    """What PostgreSQL stores for a SCRAM password (RFC 5803), so that the password itself never reaches a server's log."""
    salt = salt or os.urandom(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    text = {"salt": salt, "stored": stored, "server": server_key}
    coded = {name: base64.b64encode(value).decode() for name, value in text.items()}
    return f"SCRAM-SHA-256${iterations}:{coded['salt']}${coded['stored']}:{coded['server']}"


def verifies(verifier: str, password: str) -> bool:
    """Whether a stored verifier is this password's."""
    try:
        _, first, _ = verifier.split("$")
        iterations, salt = first.split(":")
    except ValueError:
        return False
    return hmac.compare_digest(verifier, scram_verifier(password, base64.b64decode(salt), int(iterations)))
