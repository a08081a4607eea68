"""Verb `synchronous-replication`: which replicas DB_A's commits wait for. Named before they stream, they would stop every write."""

from __future__ import annotations

import re
from typing import Any, List, Mapping, Set

from agent.cluster import from_desired
from agent.postgres import Postgres
from agent.report import Facts, Refusal
from agent.server import Server

SETTING = "synchronous_standby_names"


def named(setting: str) -> Set[str]:
    """The names in a value of synchronous_standby_names, `*` left out (documentation, "Replication", its syntax). Pure."""
    inner = re.sub(r"^\s*((first|any)\s+)?\d+\s*\((.*)\)\s*$", r"\3", setting, flags=re.IGNORECASE)
    words = [word.strip().strip('"') for word in inner.split(",")]
    return {word for word in words if word not in ("", "*")}


def synchronous_replication(desired: Mapping[str, Any], server: Server) -> Facts:
    """Have synchronous_standby_names be `names` ("" for none), once all of them stream. Raises Refusal."""
    postgres, names = Postgres(server, from_desired(desired["postgres"]), desired["address"]), desired["names"]
    if postgres.value(f"current_setting('{SETTING}')") == names:
        return {"changed": [], "because": f"{SETTING} is {names!r} already"}
    rows = postgres.rows("SELECT application_name AS name FROM pg_stat_replication WHERE state = 'streaming'")
    missing: List[str] = sorted(named(names) - {row["name"] for row in rows})
    if missing:
        raise Refusal(
            f"every replica in pgleap:replication.synchronousStandbyNames to stream ({names})",
            f"{', '.join(missing)} does not, and commits would wait for it",
            "give the names of new replicas, as they stand in pgleap:servers",
        )
    quoted = names.replace("'", "''")
    postgres.execute(f"ALTER SYSTEM SET {SETTING} = '{quoted}';")
    postgres.reload()
    return {
        "changed": [f"set {SETTING} = {names!r}"],
        "because": "these replicas stream" if names else "none is to be waited for",
    }
