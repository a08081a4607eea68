"""How clients prove who they are: what the new version no longer reads, and what is on its way out."""

from __future__ import annotations

import re
from typing import List

from agent.check_names import CheckName
from agent.checks.check import Check, Severity, Side
from agent.checks.sight import Sight
from agent.checks.wording import few
from agent.client_rules import LOCAL_ROLE, READER, split

# Version 14 takes only verify-ca and verify-full (its release notes, "Migration").
CLIENTCERT = re.compile(r"\bclientcert\s*=\s*\"?(0|1|no-verify)\b")


def _rules(sight: Sight) -> List[str]:
    rules = sight.row("SELECT current_setting('hba_file') AS file")["file"]
    text = split(sight.text(rules) or "")[1]
    found = []
    if sight.old.version < 14 <= sight.new.version:
        for line in text.splitlines():
            if not line.lstrip().startswith("#") and CLIENTCERT.search(line):
                found.append(f"{rules}: {' '.join(line.split())}")
    return few(found)


def _methods(sight: Sight) -> List[str]:
    # `trust` from this machine alone is a matter of who may log in to it.
    rules = sight.rows(
        "SELECT line_number, type, auth_method, array_to_string(database, ',') AS databases, array_to_string(user_name, ',') AS roles,"
        " coalesce(address, '') AS address FROM pg_hba_file_rules WHERE error IS NULL AND type LIKE 'host%'"
        " AND (auth_method = 'password' OR auth_method = 'trust' AND address NOT IN ('127.0.0.1', '::1', 'localhost'))"
        " ORDER BY line_number"
    )
    found = [
        f"line {row['line_number']} of pg_hba.conf: {row['auth_method']} for {row['roles']} to {row['databases']} from {row['address']}"
        for row in rules
    ]
    hashed = sight.rows(
        f"SELECT rolname FROM pg_authid WHERE rolpassword LIKE 'md5%' AND rolname NOT IN ('{READER}', '{LOCAL_ROLE}') ORDER BY 1"
    )
    if hashed:
        names = ", ".join(row["rolname"] for row in hashed[:10])
        more = f" and {len(hashed) - 10} more" if len(hashed) > 10 else ""
        found.append(f"the password of {names}{more} is kept as MD5")
    if sight.settings()["password_encryption"] in ("md5", "on"):
        found.append("password_encryption is md5: a password that is set now is kept so too")
    return few(found)


CHECKS = (
    Check(
        name=CheckName.AUTHENTICATION_RULES,
        severity=Severity.REFUSE,
        sides=(Side.OLD_PRIMARY,),
        why="DB_A takes pg_hba.conf over as it is, and the new version does not start with a rule that it cannot read",
        do="write clientcert=verify-ca or clientcert=verify-full, or leave it out, and reload",
        look=_rules,
    ),
    Check(
        name=CheckName.AUTHENTICATION,
        severity=Severity.NOTE,
        sides=(Side.OLD_PRIMARY,),
        why="it goes on as it is; MD5 is deprecated from version 18 on, and passwords in clear, or none, are for whoever listens",
        do="after the upgrade: password_encryption = 'scram-sha-256', have each of these passwords set anew, then scram-sha-256 in pg_hba.conf",
        look=_methods,
    ),
)
