"""What the servers are, held against what the phase has them be: every difference as a sentence. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from agent import advice
from agent.states import Gate, Phase, Target, Tasks
from components.desired import Desire
from components.phases import Lead
from components.settings import Role, Server

Facts = Mapping[str, Any]


@dataclass(frozen=True)
class Seen:
    """One server as it was found: the agent's facts (see agent/observe.py), or why there are none."""

    facts: Facts | None
    why: str = ""


# What a journal says of the authority where the gate is as it should be (agent/journal.py, Authority).
OLD_PRIMARY_AUTHORITY = {Gate.OPEN: ("holds",), Gate.SEALED: ("sealed",), Gate.RELEASED: ("released to DB_A",)}
TARGET_AUTHORITY = {Gate.OPEN: ("holds",), Gate.SEALED: ("none", "sealed")}


def drifts(desire: Desire, seen: Mapping[str, Seen]) -> list[str]:
    """Every difference, the dangerous ones first, the others in the order of the stack's servers; empty if there is none.

    A lost server is expected to be nothing; that it takes writes beside another one is told all the same.
    """
    found = [*_two_writers(desire, seen), *_taken_back(desire, seen)]
    for server in desire.settings.servers.values():
        if server.lost or server.name not in seen:
            continue
        one = seen[server.name]
        sentences = [one.why] if one.facts is None else _of_server(desire, server, one.facts)
        found += [f"{server.name}: {sentence}" for sentence in sentences]
    return found


def _taken_back(desire: Desire, seen: Mapping[str, Seen]) -> Iterator[str]:
    """An old primary that DB_A opened without, and that the stack does not call lost any more."""
    primary, target = desire.settings.primary, desire.settings.target
    facts = seen[target.name].facts if target.name in seen else None
    journal = known(facts.get("journal")) if facts else {}
    if journal.get("alone") and journal.get("authority") in ("holds", "sealed") and not primary.lost:
        onwards = Phase(journal["phase"]) if journal["phase"] in ("replicas", "retire") else Phase.CUTOVER
        round_ = advice.higher(int(journal["round"]), desire.settings.round)
        yield (
            f"{primary.name}: {target.name} opened without it, and has taken writes that it does not have. It is not taken back: power it off or"
            f" empty it, then {advice.lost(primary.name, advice.to(onwards, round_))}"
        )


def lets_clients_in(cluster: Facts) -> bool:
    """Whether a client could write there: it is a primary, and neither its rules nor the port keep clients out."""
    if cluster.get("running") is not True or is_standby(cluster) is not False:
        return False
    gate = cluster.get("gate", {})
    return gate.get("rules") != "sealed" or gate.get("fromHere") is not None


def known(found: Any) -> Facts:
    """A part of the facts; empty if it could not be seen."""
    return found if isinstance(found, Mapping) and "not seen" not in found else {}


def is_standby(cluster: Facts) -> bool | None:
    """Whether a running cluster is in recovery; asked of its files if it lets nobody ask; None if that is not known."""
    inside = cluster.get("inside", {})
    if "inRecovery" in inside:
        return bool(inside["inRecovery"])
    return {"in production": False, "in archive recovery": True}.get(str(cluster.get("state")))


def state_of(cluster: Facts) -> str:
    """What its files say of a cluster that does not run."""
    state = cluster.get("state", "there is no cluster")
    return f"its state cannot be seen: {state['not seen']}" if isinstance(state, Mapping) else str(state)


def _two_writers(desire: Desire, seen: Mapping[str, Seen]) -> Iterator[str]:
    facts = {name: one.facts for name, one in seen.items() if one.facts is not None}
    names = [name for name in desire.settings.servers if name in facts]
    open_ = [
        f"{name} (PostgreSQL {version})"
        for name in names
        for version, cluster in facts[name].get("clusters", {}).items()
        if lets_clients_in(cluster)
    ]
    if len(open_) > 1:
        yield (
            f"TWO DATABASES TAKE WRITES: {' and '.join(open_)}. Writes are being split, now: stop the one whose journal does not"
            " hold the authority, then find out who wrote what"
        )
    holders = [name for name in names if (facts[name].get("journal") or {}).get("authority") == "holds"]
    if len(holders) > 1:
        yield f"TWO JOURNALS HOLD THE AUTHORITY: {' and '.join(holders)}. There must never be more than one: touch nothing, ask for help"


def _of_server(desire: Desire, server: Server, facts: Facts) -> Iterator[str]:
    if server.role is Role.PRIMARY:
        yield from _of_old_primary(desire, facts)
    elif server.role is Role.TARGET:
        yield from _of_target(desire, facts)
    elif server.role is Role.REPLICA:
        yield from _of_replica(desire, facts)
    elif server.role is Role.NEW_REPLICA:
        yield from _of_new_replica(desire, facts)
    else:
        yield from _of_names(desire, server, facts)
        yield from _of_tasks(desire, server, facts)


def _of_old_primary(desire: Desire, facts: Facts) -> Iterator[str]:
    gate = desire.parts.old_primary
    yield from _of_journal(desire, OLD_PRIMARY_AUTHORITY[gate], facts)
    cluster = _cluster(facts, desire.settings.versions.old)
    if not desire.parts.old_servers_run:
        yield from _of_stopped(desire, cluster, desire.settings.versions.old)
        return
    yield from _of_running(cluster, desire.settings.versions.old)
    if is_standby(cluster):
        yield "its PostgreSQL is in recovery; the old primary is a primary"
    if cluster.get("running") is True:
        yield from _of_gate(desire, gate, cluster, socket_counts=True)
    fence, inside = (facts.get("journal") or {}).get("fence"), cluster.get("inside", {})
    follows = (facts.get("journal") or {}).get("must_apply")
    if gate is Gate.SEALED and fence and not follows and inside.get("nextTransaction", fence["xid"]) != fence["xid"]:
        yield (
            f"something was written after the fence: the next transaction id is {inside['nextTransaction']}, at the fence it"
            f" was {fence['xid']}"
        )


def _of_target(desire: Desire, facts: Facts) -> Iterator[str]:
    versions, gate = desire.settings.versions, desire.parts.upgrade_target
    yield from _of_journal(desire, TARGET_AUTHORITY[gate], facts)
    came = facts.get("target") or {}
    if came.get("underWay"):
        yield f"its database is at work ({came.get('asked')}): {came.get('said') or 'nothing said yet'}"
    elif came.get("refused"):
        yield f"its last run ({came.get('asked')}) refused: {came['refused']}"
    standby = desire.parts.database is Target.STANDBY
    wanted, other = (versions.old, versions.new) if standby else (versions.new, versions.old)
    cluster = _cluster(facts, wanted)
    yield from _of_running(cluster, wanted)
    if cluster.get("running") is True:
        if standby:
            yield from _of_stream(cluster, desire.settings.primary, from_any=False)
        elif is_standby(cluster):
            yield f"its PostgreSQL {wanted} is in recovery; {desire.phase} has it a primary"
        # Over the socket of a sealed DB_A only pg_upgrade and its kind come in.
        yield from _of_gate(desire, gate, cluster, socket_counts=False)
    yield from _of_stopped(desire, _cluster(facts, other), other)
    if gate is Gate.OPEN:
        yield from _of_statistics(facts)


def _of_statistics(facts: Facts) -> Iterator[str]:
    """What slow queries are then asked about last. While they are gathered nothing is amiss."""
    found = known(facts.get("statistics"))
    if found.get("state") == "failed":
        without = "; ".join(without_statistics(found)) or "what failed has them by now"
        yield (
            f"tables that could not be analyzed have no statistics ({without}): journalctl -u pgleap-statistics there says why of each"
        )
    elif found.get("state") == "owed":
        yield "its statistics are not whole, and nobody gathers them: what did was ended"


def without_statistics(found: Facts) -> list[str]:
    """Each database that has tables without statistics: how many, and the largest by name."""
    sentences = []
    for name, one in found.get("without", {}).items():
        more = one["tables"] - len(one["largest"])
        listed = ", ".join(one["largest"]) + (f" and {more} more" if more else "")
        sentences.append(f"{name}: {one['tables']} table{'s' if one['tables'] != 1 else ''}, {listed}")
    return sentences


def _of_replica(desire: Desire, facts: Facts) -> Iterator[str]:
    version = desire.settings.versions.old
    cluster = _cluster(facts, version)
    if not desire.parts.old_servers_run:
        yield from _of_stopped(desire, cluster, version)
        return
    yield from _of_running(cluster, version)
    if cluster.get("running") is not True:
        return
    if is_standby(cluster) is False:
        yield "OUT OF RECOVERY: this old replica has become a primary and can take writes; stop it, then make it a replica again"
    else:
        yield from _of_stream(cluster, desire.settings.primary, from_any=True)


def _of_new_replica(desire: Desire, facts: Facts) -> Iterator[str]:
    version = desire.settings.versions.new
    cluster = _cluster(facts, version)
    yield from _of_running(cluster, version)
    if cluster.get("running") is True:
        yield from _of_stream(cluster, desire.settings.target, from_any=False)


def _of_stopped(desire: Desire, cluster: Facts, version: int) -> Iterator[str]:
    if cluster.get("running") is True:
        yield f"PostgreSQL {version} runs, though {desire.phase} has it stopped"


def _of_journal(desire: Desire, authority: tuple[str, ...], facts: Facts) -> Iterator[str]:
    phase, round_ = desire.phase, desire.settings.round
    journal = facts.get("journal")
    if not journal:
        yield f"it has no journal: {phase} was never announced to it"
    elif "not seen" in journal:
        yield f"its journal cannot be read: {journal['not seen']}"
    else:
        if (journal["phase"], journal["round"]) != (phase, round_):
            yield f"its journal says {journal['phase']} in round {journal['round']}, the stack {phase} in round {round_}"
        if not journal["finished"]:
            yield f"{journal['phase']} in round {journal['round']} is not finished"
        if journal["authority"] not in authority:
            yield f"its journal says of the authority to write: {journal['authority']}; in {phase} it says: {authority[0]}"


def _of_running(cluster: Facts, version: int) -> Iterator[str]:
    if cluster.get("installed") is False:
        yield f"PostgreSQL {version} is not installed"
    elif isinstance(cluster.get("running"), Mapping):
        yield f"whether PostgreSQL {version} runs cannot be seen: {cluster['running']['not seen']}"
    elif cluster.get("running") is not True:
        yield f"PostgreSQL {version} does not run ({state_of(cluster)})"
    elif "not seen" in cluster.get("inside", {}):
        yield f"PostgreSQL {version} lets pgleap not in: {cluster['inside']['not seen']}"
    else:
        found = str(cluster["inside"]["version"]).split(".", maxsplit=1)[0]
        if found != str(version):
            yield f"it runs PostgreSQL {found}, not {version}"


def _of_stream(cluster: Facts, primary: Server, *, from_any: bool) -> Iterator[str]:
    """`from_any`: it may stream from another replica, too. Of a lost primary nothing can: that is no difference, and nothing repairs it."""
    if is_standby(cluster) is False:
        yield "its PostgreSQL has left recovery; it is to be a standby"
        return
    inside = cluster.get("inside", {})
    if "not seen" in inside or primary.lost:
        return
    receiver = inside.get("receiver")
    if not receiver or receiver.get("status") != "streaming":
        yield f"it does not stream ({receiver['status'] if receiver else 'no WAL receiver'})"
    elif not from_any and receiver.get("from") not in (None, primary.address):
        yield f"it streams from {receiver['from']}, not from {primary.name} ({primary.address})"


def _of_gate(desire: Desire, gate: Gate, cluster: Facts, *, socket_counts: bool) -> Iterator[str]:
    found, inside = cluster.get("gate", {}), cluster.get("inside", {})
    phase = desire.phase
    if "not seen" in found:
        yield f"its client gate cannot be seen: {found['not seen']}"
        return
    if found["rulesWritten"] > inside.get("rulesRead", found["rulesWritten"]):
        yield "its pg_hba.conf was changed after PostgreSQL last read it"
    if gate is Gate.OPEN:
        if found["rules"] == "sealed":
            yield f"its client gate is sealed, though {phase} has it open"
        elif inside.get("readOnly"):
            yield f"sessions begin read-only (default_transaction_read_only), though {phase} has it open"
        return
    if found["rules"] != "sealed":
        yield f"ITS CLIENT GATE IS OPEN, though {phase} has it sealed"
    elif found["fromHere"] is not None:
        yield f"its rules are sealed, but a client that comes over TCP is not refused by them: {found['fromHere']}"
    clients: dict[str, int] = {}
    for row in inside.get("sessions", []):
        if socket_counts or row["client"] != "socket":
            clients[row["client"]] = clients.get(row["client"], 0) + int(row["sessions"])
    if clients:
        listed = ", ".join(f"{count} from {_who(desire, client)}" for client, count in clients.items())
        yield f"client sessions are inside, though {phase} has it sealed: {listed}"


def _of_names(desire: Desire, server: Server, facts: Facts) -> Iterator[str]:
    lead = desire.parts.online_hosts if server.role is Role.ONLINE else desire.parts.other_hosts
    astray: dict[tuple[str, str], list[str]] = {}
    for name, address in desire.names(lead).items():
        found = facts["names"].get(name, [])
        if "not seen" in found:
            yield f"where {name} leads cannot be seen: {found['not seen']}"
        # Where pgleap does not manage a name, others may have given it more addresses.
        elif found != [address] if lead is not Lead.AS_THEY_WERE else address not in found:
            there = " and ".join(_who(desire, one) for one in found) or "nowhere"
            astray.setdefault((there, _who(desire, address)), []).append(name)
    for (there, wanted), names in astray.items():
        yield f"{', '.join(names)} {'leads' if len(names) == 1 else 'lead'} to {there}; {desire.phase} has it lead to {wanted}"


def _of_tasks(desire: Desire, server: Server, facts: Facts) -> Iterator[str]:
    if server.role is not Role.WORKER:
        return
    for unit, wanted in desire.tasks(server)["tasks"].items():
        task = facts["tasks"].get(unit, {"not seen": "nothing was said of it"})
        if "not seen" in task:
            yield f"{unit} cannot be seen: {task['not seen']}"
        elif task["loaded"] not in ("loaded", "masked"):
            yield f"there is no unit {unit} (systemd calls it {task['loaded']})"
        elif wanted == Tasks.STOPPED.value:
            if task["active"] not in ("inactive", "failed"):
                yield f"{unit} is {task['active']}, though {desire.phase} has it stopped"
            elif not task["held"]:
                yield f"{unit} is at rest but not held: a timer or a reboot could start it"
        elif task["held"]:
            yield f"{unit} is held by pgleap, though {desire.phase} has it running"
        elif task["active"] not in ("active", "reloading", "activating") and task["type"] != "oneshot":
            yield (
                f"{unit} is {task['active']}, though {desire.phase} has it running; it is not pgleap that stopped it, so a higher"
                f" round does not start it: systemctl start {unit}"
            )


def _cluster(facts: Facts, version: int) -> Facts:
    found: Facts = facts.get("clusters", {}).get(str(version), {})
    return found


def _who(desire: Desire, address: str) -> str:
    """An address with its server's name, if it is one of the stack's."""
    names = [server.name for server in desire.settings.servers.values() if server.address == address]
    return f"{names[0]} ({address})" if names else address
