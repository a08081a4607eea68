"""The status as people read it: the databases, then the servers that use them, then the drift."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from agent import advice
from agent.states import Phase
from components.phases import MoveRefusedError, check_move
from components.settings import Role, Server, Settings
from scripts.drift import Facts, Seen, is_standby, known, state_of, without_statistics
from scripts.way_back import WayBack

# Where no terminal says how wide it is: a log, a pipe.
WIDTH = 160
UNSEEN = "?"
# More than this of one kind are counted, not listed.
SENTENCES = 20


def show(
    settings: Settings, seen: Mapping[str, Seen], drift: list[str], way_back: WayBack, finished: Mapping[str, Any]
) -> None:
    """Print it to stdout."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH)
    reached = f"finished last: {finished['phase']} in round {finished['round']}" if finished else "nothing finished yet"
    console.print(f"Phase [bold]{settings.phase}[/bold] in round {settings.round} ({reached})")
    console.print(_databases(settings, seen))
    console.print(_clients(settings, seen))
    for sentence in statistics(seen):
        console.print(escape(sentence))
    _show_way_back(console, way_back, repair(settings, seen, finished))
    if not drift:
        console.print(f"No drift: every server is as {settings.phase} has it.")
        return
    console.print(f"[bold]Drift from {settings.phase}: {len(drift)}[/bold]")
    for sentence in drift:
        console.print(f"  - {escape(sentence)}")
    console.print(f"To repair: {repair(settings, seen, finished)}")


def statistics(seen: Mapping[str, Seen]) -> Iterable[str]:
    """Where some are still to be gathered, and for what there are none yet. Pure."""
    for name, one in seen.items():
        found = known(one.facts.get("statistics")) if one.facts is not None else {}
        if not found:
            continue
        state = {"running": "being gathered", "failed": "failed in part", "owed": "owed, and not being gathered"}[
            found["state"]
        ]
        yield f"Statistics on {name}: {state}; none yet: {'; '.join(without_statistics(found)) or 'nowhere'}"


def repair(settings: Settings, seen: Mapping[str, Seen], finished: Mapping[str, Any]) -> str:
    """The command that has every step look again, in a round that nobody has seen; what the program or the servers would refuse is not
    advised."""
    journals = [known(one.facts.get("journal")) for one in seen.values() if one.facts is not None]
    rounds = [int(own["round"]) for own in journals if own]
    next_round = advice.higher(settings.round, int(finished.get("round", 0)), *rounds)
    unfinished = [Phase(own["phase"]) for own in journals if own and not own["finished"]]
    if unfinished and settings.phase not in unfinished:
        return advice.to(unfinished[0], next_round)
    before = Phase(finished["phase"]) if finished else None
    lost = settings.target.lost
    try:
        check_move(before, int(finished.get("round", 0)), settings.phase, next_round, without_target=lost)
    except MoveRefusedError as refused:
        return str(refused).partition("To do: ")[2]
    return advice.again(next_round)


def _show_way_back(console: Console, way_back: WayBack, again: str) -> None:
    when = "after cutover" if way_back.after_cutover else "now"
    console.print(f"A way back that loses nothing, {when}: [bold]{way_back.kind}[/bold]")
    for sentence in [*way_back.sentences[:SENTENCES], *way_back.stream]:
        console.print(f"  - {escape(sentence)}")
    if len(way_back.sentences) > SENTENCES:
        console.print(f"  - and {len(way_back.sentences) - SENTENCES} more (--json tells them all)")
    if any("stopped following" in sentence for sentence in way_back.sentences):
        console.print(f"Once such a row is mended: {again}")


def _databases(settings: Settings, seen: Mapping[str, Seen]) -> Table:
    table = _table("database", "PostgreSQL", "position", "streams to", "gate", "journal", "sessions", "free", "at work")
    for server in settings.with_role(Role.PRIMARY, Role.REPLICA, Role.TARGET, Role.NEW_REPLICA):
        if server.name not in seen:
            continue
        facts = seen[server.name].facts
        if facts is None:
            table.add_row(_name(server), escape(seen[server.name].why))
            continue
        cluster = running(facts) or {}
        inside = known(cluster.get("inside"))
        table.add_row(
            *(_name(server), _postgres(facts), _position(cluster, inside), _standbys(settings, inside), _gate(cluster)),
            *(_journal(facts), _sessions(settings, inside), _free(facts), _at_work(facts)),
        )
    return table


def _clients(settings: Settings, seen: Mapping[str, Seen]) -> Table:
    table = _table("server", "names lead to", "tasks")
    for server in settings.hosts_servers:
        facts = seen[server.name].facts
        if facts is None:
            table.add_row(_name(server), escape(seen[server.name].why))
            continue
        table.add_row(_name(server), _names(settings, facts["names"]), _tasks(facts["tasks"]))
    return table


def _table(*headings: str) -> Table:
    table = Table(show_edge=False, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def running(facts: Facts) -> Facts | None:
    """The cluster that runs on a database server, if one does."""
    clusters: Iterable[Facts] = facts["clusters"].values()
    return next((cluster for cluster in clusters if cluster["running"] is True), None)


def _by_address(settings: Settings) -> dict[str, str]:
    return {server.address: server.name for server in settings.servers.values()}


def _name(server: Server) -> str:
    return f"{server.name}\n[dim]{server.role.value}{', lost' if server.lost else ''}[/dim]"


def _postgres(facts: Facts) -> str:
    lines = []
    for version, cluster in facts["clusters"].items():
        if cluster["running"] is True:
            number = str(known(cluster.get("inside")).get("version", version)).split(" ", maxsplit=1)[0]
            kind = {True: "standby", False: "primary", None: UNSEEN}[is_standby(cluster)]
            lines.append(f"{number} {kind}")
        elif cluster["there"] is True:
            lines.append(f"[dim]{version} {escape(state_of(cluster))}[/dim]")
    return "\n".join(lines) or "none"


def _position(cluster: Facts, inside: Facts) -> str:
    if not inside:
        return UNSEEN if cluster else "-"
    lines = [str(inside["position"])]
    receiver = inside.get("receiver")
    if receiver:
        lines.append(receiver["status"])
    if inside.get("behindSeconds"):
        lines.append(f"{inside['behindSeconds']} s behind")
    return "\n".join(lines)


def _standbys(settings: Settings, inside: Facts) -> str:
    lines = []
    for one in inside.get("standbys", []):
        who = _by_address(settings).get(one["address"]) or one["address"] or one["name"]
        behind = f", {_bytes(one['behindBytes'])} behind" if one["behindBytes"] else ""
        lines.append(f"{who} {one['state']}{behind}")
    return escape("\n".join(lines))


def _gate(cluster: Facts) -> str:
    gate = known(cluster.get("gate"))
    if not gate:
        return UNSEEN if cluster else "-"
    if gate["rules"] != "sealed":
        return str(gate["rules"])
    return "sealed" if gate["fromHere"] is None else "[bold]sealed, NOT REFUSING[/bold]"


def _journal(facts: Facts) -> str:
    journal = facts["journal"]
    if not known(journal):
        return UNSEEN if journal else "none"
    done = "" if journal["finished"] else " [bold]unfinished[/bold]"
    fence = journal.get("fence")
    lines = [
        f"{journal['phase']} {journal['round']}{done}",
        f"authority: {journal['authority']}",
        f"epoch {journal['epoch']}" + (f", fence {fence['xid']} {fence['lsn']}" if fence else ""),
    ]
    if journal.get("alone"):
        lines.append("without the old primary")
    return "\n".join(lines)


def _sessions(settings: Settings, inside: Facts) -> str:
    names = _by_address(settings)
    by_client: dict[str, list[str]] = {}
    for row in inside.get("sessions", []):
        by_client.setdefault(names.get(row["client"], row["client"]), []).append(f"{row['sessions']} {row['state']}")
    return "\n".join(escape(f"{client}: {', '.join(states)}") for client, states in by_client.items())


def _free(facts: Facts) -> str:
    free = [cluster["freeBytes"] for cluster in facts["clusters"].values() if isinstance(cluster["freeBytes"], int)]
    return _bytes(min(free)) if free else UNSEEN


def _at_work(facts: Facts) -> str:
    lines = [f"{unit.removesuffix('.service')} {state}" for unit, state in known(facts["units"]).items()]
    target = known(facts.get("target"))
    if target:
        lines.append(f"base backup {target['baseBackup'] or '-'}, new cluster {target['newCluster'] or '-'}")
        if target["underWay"] and target["said"]:
            lines.append(target["said"])
        if target["refused"]:
            lines.append("the last run refused")
    return escape("\n".join(lines))


def _names(settings: Settings, names: Mapping[str, Any]) -> str:
    """Names that lead to the same place together."""
    if names == {name: [address] for name, address in settings.names_before.items()}:
        return "as before the upgrade"
    by_address = _by_address(settings)
    together: dict[str, list[str]] = {}
    for name, found in names.items():
        there = " and ".join(by_address.get(str(one), str(one)) for one in found) if isinstance(found, list) else UNSEEN
        together.setdefault(there or "nowhere", []).append(name)
    if len(together) == 1:
        return f"all: {escape(next(iter(together)))}"
    return escape("\n".join(f"{', '.join(which)}: {there}" for there, which in together.items()))


def _tasks(tasks: Mapping[str, Any]) -> str:
    lines = []
    for unit, task in tasks.items():
        state = UNSEEN if "not seen" in task else task["active"] + (", held" if task["held"] else "")
        lines.append(f"{unit} {state}")
    return escape("\n".join(lines))


def _bytes(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
