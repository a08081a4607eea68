"""Whether pgleap gets into the database on this server at all: everything else that is asked of PostgreSQL rests on it."""

from __future__ import annotations

import re
from typing import List

from agent.check_names import CheckName
from agent.checks.check import OLD_DATABASES, Check, Severity, Side, Unseen
from agent.checks.sight import INSTEAD, MAINTENANCE, Sight
from agent.report import Refusal
from agent.states import Phase

# The role that initdb made; pg_upgrade comes as no other (its check.c, check_is_install_user).
INSTALLER = "SELECT rolname AS name FROM pg_roles WHERE oid = 10"
# Its own words, without where it was reached, which is said once.
WORDS = re.compile(
    r"^(?:psql: (?:error: )?)?(?:connection to server on socket \"[^\"]*\" failed: |could not connect to server: )?"
)


def _local_login(sight: Sight) -> List[str]:
    cluster, side = sight.cluster, Side(sight.desired["side"])
    if not sight.postgres.is_running():
        if side not in OLD_DATABASES:
            raise Unseen(
                f"no PostgreSQL {cluster.version} runs here: to be seen once `prepare` has made DB_A a standby"
            )
        if Phase(sight.desired["phase"]) is Phase.RETIRE:
            raise Unseen("it was stopped for good")
        others = ", ".join(sorted(_running_elsewhere(sight)))
        return [f"no PostgreSQL runs in {cluster.data}{f'; one does in {others}' if others else ''}"]
    refused = sight.try_login(MAINTENANCE)
    if refused is not None and sight.try_login(INSTEAD) is not None:
        return [_said(sight, refused)]
    found = [f"{_said(sight, refused)} ({INSTEAD} lets it in)"] if refused is not None else []
    installer = sight.row(INSTALLER)["name"]
    if installer != cluster.superuser:
        found.append(f"the role that initdb made is {installer}; the stack's superuser is {cluster.superuser}")
    return found


def _said(sight: Sight, refused: str) -> str:
    os_user, way = sight.login(MAINTENANCE)
    who = f"{os_user or 'root'} of the operating system as {way['PGUSER']}"
    return f"{who}, by the socket in {way['PGHOST']}, port {way['PGPORT']}: {WORDS.sub('', refused)}"


def _running_elsewhere(sight: Sight) -> List[str]:
    """The data folders of servers that run here, as the processes' own command lines have them."""
    try:
        done = sight.program("ps", "-C", "postgres,postmaster", "-o", "args=")
    except Refusal:  # it is a help, no more
        return []
    return re.findall(r"(?m)^\S+ .*?-D ?(\S+)", done.stdout)


CHECKS = (
    Check(
        name=CheckName.LOCAL_LOGIN,
        severity=Severity.REFUSE,
        sides=(*OLD_DATABASES, Side.TARGET),
        why="pgleap makes its own way in by the cluster's superuser, over the socket; of what PostgreSQL itself knows nothing can be looked at without it",
        do='have `local all postgres peer` be the first line of pg_hba.conf (for a superuser of another name, `local all "DBA" peer map=dba`, and in'
        ' pg_ident.conf `dba postgres "DBA"`), reload; CREATE DATABASE postgres where there is none; else correct port, superuser, cluster,'
        " socketFolder or old.data in pgleap:postgres",
        look=_local_login,
    ),
)
