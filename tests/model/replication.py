"""What a fake cluster does by itself: standbys stream, sessions that were told to end go, logins come through, autovacuum works."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import takewhile
from typing import TYPE_CHECKING

from agent.following import STOPS
from agent.statistics import OWED_FILE, UNIT
from tests.model import passwords
from tests.model.cluster import Cluster, Session
from tests.model.configuration import upstream_of

if TYPE_CHECKING:
    from tests.model.machine import Machine
    from tests.model.world import World

WORKER = "autovacuum worker"


def go_on(world: World, machine: Machine, cluster: Cluster) -> None:
    """A moment of a running cluster's own life."""
    for session in list(cluster.sessions):
        session.entering = False
        if session.ending and world.rng.random() < 0.7:
            cluster.close(session)
    if cluster.recovery:
        _stream(world, machine, cluster)
    else:
        # Reads alone write WAL (hint bits), so that an equal position proves nothing.
        hint = world.rng.choice((0, 0, 8))
        if hint:
            cluster.record(hint)
        _autovacuum(world, cluster)
        _let_go(world, cluster)
        _send(world, cluster)
        _follow(world, machine, cluster)
        _gather(world, machine, cluster)


def _autovacuum(world: World, cluster: Cluster) -> None:
    """A worker comes, takes a transaction id sooner or later, and goes after a while."""
    workers = [session for session in cluster.sessions if session.kind == WORKER]
    if not workers and cluster.settings["autovacuum"] == "on" and world.rng.random() < 0.2:
        cluster.sessions.append(Session(cluster.new_pid(), "", None, world.clock, WORKER, "active"))
    elif workers and workers[0].xid is None and world.rng.random() < 0.1:
        cluster.take_xid(workers[0])
    elif workers and workers[0].xid is not None and world.rng.random() < 0.2:
        cluster.commit(workers[0], world.clock)
        cluster.close(workers[0])


def _follow(world: World, machine: Machine, cluster: Cluster) -> None:
    """Apply what the publisher committed, as long as a login to it would succeed: a transaction at a time, or nothing at all."""
    mine = cluster.subscription
    host = world.at(mine.address) if mine is not None and mine.enabled else None
    found = host.listening() if host is not None else None
    if mine is None or found is None or mine.slot not in found.logical or world.rng.random() < 0.3:
        return
    if found.admits("pgleap", machine.address, database="app"):
        return
    found.held.add(mine.slot)
    ahead = list(takewhile(lambda record: record[0] > found.logical[mine.slot], reversed(found.log)))[::-1]
    for lsn, ids in ahead[:1] if machine.name in world.lagging else ahead:
        if ids and cluster.in_the_way:
            cluster.subscription = replace(mine, enabled=False)
            return
        if ids:
            cluster.apply(ids)
        found.logical[mine.slot] = lsn
    if machine.name not in world.lagging or len(ahead) <= 1:
        found.logical[mine.slot] = found.lsn


def _send(world: World, cluster: Cluster) -> None:
    """Whoever follows by a slot of the fleet's own is sent what there is, sooner or later, and confirms it."""
    for session in cluster.sessions:
        if session.follows and world.rng.random() < 0.5:
            cluster.consumed[session.follows] = cluster.lsn


def _gather(world: World, machine: Machine, cluster: Cluster) -> None:
    """The unit that gathers statistics is at work for a while, and takes transaction ids as it goes."""
    if not machine.tasks.get(UNIT) or world.rng.random() < 0.8:
        return
    cluster.completed, cluster.next_xid = cluster.next_xid, cluster.next_xid + 1
    if world.rng.random() < 0.05:
        cluster.gathered, machine.tasks[UNIT] = True, False
        machine.path(OWED_FILE).unlink(missing_ok=True)


def _let_go(world: World, cluster: Cluster) -> None:
    """The walsenders of subscriptions that are gone end, some time later."""
    for slot in sorted(cluster.held):
        if slot not in _followed(world) and world.rng.random() < 0.02:
            cluster.held.discard(slot)


def _followed(world: World) -> set[str]:
    mine = (cluster.subscription for machine in world.machines.values() for cluster in machine.running())
    return {one.slot for one in mine if one is not None and one.enabled}


def upstream(world: World, machine: Machine, cluster: Cluster) -> Cluster | None:
    """The cluster that this standby can stream from right now."""
    conninfo = upstream_of(cluster.settings.get("primary_conninfo", ""))
    host = world.at(conninfo.get("host", ""))
    found = host.listening(conninfo["port"]) if host is not None else None
    if found is None or found is cluster or found.system != cluster.system or found.lsn < cluster.lsn:
        return None
    slot = cluster.settings.get("primary_slot_name", "")
    if slot and slot not in found.slots:
        return None
    if not cluster.receives:
        user, knows = conninfo["user"], "passfile" not in conninfo or machine.text(conninfo["passfile"]) != ""
        if "password" in conninfo:
            knows = passwords.knows(found, user, conninfo["password"])
        if found.admits(user, machine.address, database="replication", knows=knows):
            return None
    return found


def standbys(world: World, machine: Machine) -> list[tuple[Machine, Cluster, Mapping[str, str]]]:
    """Who streams from this server: their machine, their cluster and how they came."""
    found: list[tuple[Machine, Cluster, Mapping[str, str]]] = []
    for other in world.machines.values():
        for cluster in other.running():
            conninfo = upstream_of(cluster.settings.get("primary_conninfo", ""))
            if cluster.receives and conninfo["host"] == machine.address:
                found.append((other, cluster, conninfo))
    return found


def _stream(world: World, machine: Machine, cluster: Cluster) -> None:
    """Receive and replay: all there is, or one record if it lags; none with a setting that stops recovery."""
    found = upstream(world, machine, cluster) if world.clock >= cluster.comes_back_at else None
    cluster.receives = found is not None
    if found is None or cluster.configured & {*STOPS}:
        return
    ahead = list(takewhile(lambda record: record[0] > cluster.lsn, reversed(found.log)))[::-1]
    replayed = ahead[:1] if machine.name in world.lagging else ahead
    for lsn, ids in replayed:
        cluster.content.update(ids)
        cluster.log.append((lsn, ids))
        cluster.lsn = lsn
    if len(replayed) == len(ahead):
        cluster.lsn = found.lsn
        cluster.next_xid, cluster.completed = found.next_xid, found.completed
        cluster.catalog = dict(found.catalog)
