"""Verb `reverse-replication`: the old primary follows DB_A, from the moment DB_A opens until the authority is back."""

from __future__ import annotations

from typing import Any, List, Mapping

from agent import asked_live, copies, journal, replica_triggers, seal, views
from agent.cluster import from_desired
from agent.journal import Authority
from agent.old_primary_gate import drop_slot
from agent.other_side import OtherSide
from agent.postgres import Postgres
from agent.report import Facts
from agent.server import Server
from agent.states import Stream
from agent.subscriber import Subscriber


def reverse_replication(desired: Mapping[str, Any], server: Server) -> Facts:
    """Bring the old primary's half of the stream to `stream`; once the authority is released, DB_A's slot here goes. Raises Refusal."""
    postgres = Postgres(server, from_desired(desired["postgres"]), desired["address"])
    target = OtherSide.from_desired(desired["otherSide"], server, postgres.cluster.program("psql"))
    subscriber = Subscriber(postgres, target, int(desired["jobs"]))
    stream, own = Stream(desired["stream"]), journal.must_read(server)
    # DB_A took it away when it was promoted; one that came back since, or that a lost DB_A held, fills the disk.
    changed = drop_slot(postgres) if own.authority is Authority.RELEASED else []
    if stream in (Stream.NONE, Stream.REMOVED):
        return _end(subscriber, changed, refresh=stream is Stream.NONE)
    if own.must_apply is None:
        theirs = asked_live.target_journal(own, target, desired["server"])
        if not (own.authority is Authority.RELEASED and theirs.authority is Authority.HOLDS):
            return {"changed": changed, "because": "DB_A has not opened: there is nothing to follow"}
        # An older image of DB_A, restored later, is told by this.
        own = journal.update(server, seen=journal.seen(theirs))
    changed += seal.autovacuum_again(postgres)
    changed += subscriber.subscribe()
    if own.authority is Authority.RELEASED:
        changed += copies.begin(desired, server)
    return {"changed": changed, "because": "DB_A has opened, and the way back is to lose nothing"}


def _end(subscriber: Subscriber, changed: List[str], refresh: bool) -> Facts:
    """Only once nothing more is to come: views are refreshed where this database takes writes again, then the subscriptions go, so
    that a run that died goes on."""
    postgres = subscriber.postgres
    followed = list(subscriber.found())
    stale: List[str] = []
    for database in followed if refresh else ():
        stale += views.refresh(postgres, database)
        changed.append(f"refreshed the materialized views of {database}")
    changed += subscriber.drop()
    changed += replica_triggers.as_before(postgres)
    copies.end(postgres.server)  # always: a run before this one may have died after it dropped the last subscription
    facts: Facts = {"changed": changed, "because": "the stream has done its work" if changed else "there is no stream"}
    return {**facts, "not refreshed": stale} if stale else facts
