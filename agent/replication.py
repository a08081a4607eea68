"""Verb `replication`: DB_A's side of the new replicas, and the end of what the stream back needed there.

A replica gets a line in pg_hba.conf and a slot, both for good: they stay when pgleap goes.
"""

from __future__ import annotations

from typing import Any, List, Mapping

from agent import access, client_rules, publisher, slots
from agent.cluster import from_desired
from agent.postgres import Postgres
from agent.report import Facts, Refusal
from agent.server import STATE_FOLDER, Server

# The slots that pgleap made for replicas.
SLOTS_FILE = f"{STATE_FOLDER}/replication.json"


def slot_of(replica: str) -> str:
    """The slot that a replica streams by; its name has small letters, digits and underscores."""
    return f"replica_{replica.replace('-', '_')}"


def replication(desired: Mapping[str, Any], server: Server) -> Facts:
    """Let `standbys` (name -> address) stream as `user`, and nobody whom pgleap let in before and who is not among them.

    With `streamBack` "removed" publication, slots and identities of the reverse stream go. Raises Refusal.
    """
    postgres = Postgres(server, from_desired(desired["postgres"]), desired["address"])
    standbys: Mapping[str, str] = desired["standbys"]
    changed = _let_in(postgres, standbys, desired["user"]) + _have_slots(postgres, [slot_of(name) for name in standbys])
    if desired["streamBack"] == "removed":
        changed += publisher.take_away(postgres)
    return {"changed": changed, "because": "who streams from DB_A changed" if changed else "all of it is there already"}


def _let_in(postgres: Postgres, standbys: Mapping[str, str], user: str) -> List[str]:
    server, file = postgres.server, postgres.cluster.hba_file
    text = server.path(file).read_bytes().decode(errors="surrogateescape")
    method = _method(postgres, user) if standbys else ""
    wanted = client_rules.with_standbys(text, user, list(standbys.values()), method)
    changed = []
    if wanted != text:
        access.put(server, file, wanted)
        changed.append(f"wrote {file}")
    postgres.reload()  # always: a run before this one may have died between writing the rules and having them read
    return changed


def _method(postgres: Postgres, user: str) -> str:
    """How the role's password can be checked (documentation, "Password Authentication"). Raises Refusal if it cannot stream."""
    quoted = user.replace("'", "''")
    found = postgres.rows(
        "SELECT rolreplication AND rolcanlogin AS fits, coalesce(rolpassword, '') LIKE 'md5%' AS md5, rolpassword IS NULL AS without"
        f" FROM pg_authid WHERE rolname = '{quoted}'"
    )
    if not found or not found[0]["fits"] or found[0]["without"]:
        raise Refusal(
            f"a role {user} with LOGIN, REPLICATION and a password, for the new replicas to stream as",
            "none" if not found else "one that lacks some of them",
            f"CREATE (or ALTER) ROLE {user} LOGIN REPLICATION PASSWORD ...; or name another in pgleap:replication.user",
        )
    return "md5" if found[0]["md5"] else "scram-sha-256"


def _have_slots(postgres: Postgres, wanted: List[str]) -> List[str]:
    server = postgres.server
    ours: List[str] = server.read_json(SLOTS_FILE).get("slots", [])
    server.write_json(SLOTS_FILE, {"slots": sorted({*ours, *wanted})})
    there = {row["slot_name"] for row in postgres.rows("SELECT slot_name FROM pg_replication_slots")}
    changed = []
    for slot in wanted:
        if slot not in there:
            postgres.execute(f"SELECT pg_create_physical_replication_slot('{slot}', true);")
            changed.append(f"made the slot {slot}")
    for slot in sorted({*ours} - {*wanted}):
        changed += slots.drop(server, postgres.rows, f"slot_name = '{slot}'") if slot in there else []
    server.write_json(SLOTS_FILE, {"slots": sorted(wanted)})
    return changed
