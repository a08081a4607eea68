"""What the old primary knows of a DB_A that has died: its sequences' values, and how far it had come, copied every few seconds.

They are copied by a unit of its own, `pgleap-copies`, from the moment DB_A takes writes until the old primary has the authority
again. A reboot ends it; a raised round begins it again.
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional

from agent import journal, sequences
from agent.cluster import from_desired
from agent.install import INSTALLED
from agent.journal import Authority
from agent.other_side import OtherSide
from agent.postgres import Postgres
from agent.publisher import slot_of
from agent.report import Facts, Refusal, progress
from agent.server import STATE_FOLDER, Server
from agent.subscriber import Subscriber, number

COPIES_FILE = f"{STATE_FOLDER}/copies.json"
REQUEST_FILE = f"{STATE_FOLDER}/copies.request.json"
UNIT = "pgleap-copies.service"
EVERY_SECONDS = 5.0
POSITION = """SELECT json_build_object('lsn', pg_current_wal_flush_lsn()::text,
  'xid', pg_snapshot_xmax(pg_current_snapshot())::text::bigint);"""


def begin(desired: Mapping[str, Any], server: Server) -> List[str]:
    """Have the unit at work. What was done."""
    if server.run("systemctl", "is-active", UNIT, check=False).stdout.strip() == "active":
        return []
    server.write_json(REQUEST_FILE, dict(desired))
    server.run("systemctl", "reset-failed", UNIT, check=False)
    server.run(
        "systemd-run", f"--unit={UNIT}", "--collect", "--quiet", "-p", "StandardError=null", "-p", "StandardOutput=null",
        "/usr/bin/env", "python3", "-I", INSTALLED, "copies",
    )  # fmt: skip
    return ["copies DB_A's sequences every few seconds"]


def end(server: Server) -> None:
    server.run("systemctl", "stop", UNIT, check=False)
    server.path(COPIES_FILE).unlink(missing_ok=True)


def copies(server: Server) -> None:
    """Inside the unit: copy until the authority is not DB_A's any more."""
    desired = server.read_json(REQUEST_FILE)
    postgres = Postgres(server, from_desired(desired["postgres"]), desired["address"])
    target = OtherSide.from_desired(desired["otherSide"], server, postgres.cluster.program("psql"))
    subscriber = Subscriber(postgres, target, int(desired["jobs"]))
    while journal.must_read(server).authority is Authority.RELEASED:
        try:
            copy(subscriber)
        except Refusal as refused:  # DB_A may come back; what was copied stays
            progress(str(refused))
        server.sleep(EVERY_SECONDS)


def copy(subscriber: Subscriber) -> None:
    """Copy once. Raises Refusal if DB_A does not answer."""
    server, found = subscriber.postgres.server, subscriber.found()
    at = subscriber.target.read_json(POSITION)
    values = sequences.read(subscriber.target, list(found), subscriber.jobs)
    before = kept(server)
    samples = [*before.get("samples", []), [server.now(), at["lsn"], at["xid"]]]
    up_to = arrived(found, subscriber.slots(), before.get("arrived"))
    copied = {database: sequences.to_json(each) for database, each in values.items()}
    server.write_json(COPIES_FILE, {"samples": pruned(samples, up_to), "sequences": copied, "arrived": up_to})


def arrived(
    found: Mapping[str, Mapping[str, Any]], slots: Mapping[str, Mapping[str, Any]], before: Optional[str]
) -> Optional[str]:
    """The position of DB_A's up to which every database has applied; None if one has not applied anything yet. What a slot on DB_A was
    told counts (`slots`, none if DB_A does not answer): a database that nobody writes to applies nothing of its own. `before` is what was known last.
    Pure."""
    each = [
        latest(row["applied"], slots.get(slot_of(database), {}).get("confirmed")) for database, row in found.items()
    ]
    known = [position for position in each if position is not None]
    return latest(min(known, key=number) if known and len(known) == len(each) else None, before)


def latest(*positions: Optional[str]) -> Optional[str]:
    """The highest position that there is. Pure."""
    return max((one for one in positions if one is not None), key=number, default=None)


def pruned(samples: List[List[Any]], applied_up_to: Optional[str]) -> List[List[Any]]:
    """The last sample that is applied, and all after it; a sample is [seconds since the epoch, position, next transaction id]. Pure."""
    if applied_up_to is None:
        return samples[:1] + samples[1:][-1000:]
    done = [sample for sample in samples if number(sample[1]) <= number(applied_up_to)]
    return done[-1:] + samples[len(done) :][-1000:]


def kept(server: Server) -> Dict[str, Any]:
    """What was copied last."""
    return server.read_json(COPIES_FILE)


def facts(server: Server, applied_up_to: Optional[str]) -> Facts:
    """For those who look: when it was copied last, and for how long what DB_A had has not been applied here, in seconds."""
    samples = kept(server).get("samples", [])
    if not samples:
        return {}
    waiting = [one[0] for one in samples if applied_up_to is None or number(one[1]) > number(applied_up_to)]
    behind = server.now() - waiting[0] if waiting else 0
    return {"copiedSecondsAgo": round(server.now() - samples[-1][0], 1), "behindSeconds": round(behind, 1)}
