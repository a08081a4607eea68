"""Take pgleap away from every server: `python -m scripts.uninstall`. From a finished prepare, or from a finished retire, after which
the new databases and the hosts files stay as they are.

The servers that use the databases first, then DB_A with its clusters, the old replicas, and the old primary last, whose role and
slot DB_A uses. Where one group fails, the next is not begun; run it again. Exit status: 0 done, 1 not on every server, 2 nothing done.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from agent.states import Phase, Verb
from components.desired import Desire
from components.settings import Server, Settings
from scripts import fleet_ssh, stack

COMMAND = fleet_ssh.agent_command(Verb.UNINSTALL)
# Seconds for a server; the longest is DB_A's clean stop.
DEADLINE = 180.0
AFTERWARDS = "The stack still believes that its agents are there. To forget it, which touches no server: pulumi destroy && pulumi stack rm"


def groups(settings: Settings) -> Iterator[tuple[str, Sequence[Server]]]:
    """The servers in the order in which they are left, by part. Those that are lost are not among them. After retire the roles go with
    DB_A, and its replicas have let go of them before."""
    yield "client", settings.hosts_servers
    yield "new replica", settings.new_replicas
    yield "DB_A", [server for server in (settings.target,) if not server.lost]
    yield "old replica", settings.replicas
    yield "old primary", [server for server in (settings.primary,) if not server.lost]


def asked(settings: Settings, part: str, server: Server) -> dict[str, Any]:
    """The desired state of `uninstall` for one server. Pure."""
    desire = Desire(settings)
    common = {
        "server": server.name,
        "address": server.address,
        "round": settings.round,
        "phase": settings.phase.value,
        "part": part,
        "user": settings.ssh.user,
    }
    if part == "DB_A":
        return {**desire.upgrade_target(), **common}
    if part == "client":
        return common
    return {**common, "postgres": desire.new_postgres() if part == "new replica" else desire.old_postgres()}


def take_away(settings: Settings, part: str, servers: Sequence[Server], console: Console) -> bool:
    """Have all servers of a part left, side by side, and say what each did; whether all did."""
    inputs = {server.name: json.dumps(asked(settings, part, server)) for server in servers}
    answers = fleet_ssh.ask(settings, COMMAND, inputs, DEADLINE)
    # Before `replicas` they need not even exist.
    may_be_missing = part == "new replica" and settings.phase is Phase.PREPARE
    missing = {name for name, answer in answers.items() if answer.status is None and may_be_missing}
    for name, answer in answers.items():
        if name in missing:
            console.print(f"{name}: not reached; if there is such a server, run this again once it can be")
        elif answer.status == fleet_ssh.NOT_INSTALLED:
            console.print(f"{name}: nothing of pgleap's is there")
        elif answer.status == 0:
            for change in json.loads(answer.output)["changed"]:
                console.print(f"{name}: {escape(change)}")
        else:
            console.print(f"[red]{name}: {escape(answer.error.strip())}[/red]")
    return all(name in missing or answer.status in (0, fleet_ssh.NOT_INSTALLED) for name, answer in answers.items())


def main(
    name: Annotated[str | None, typer.Option("--stack", help="Another stack than the selected one.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Take away everything that pgleap made on the servers, DB_A's clusters among it. The databases go on as they are."""
    selected = stack.window_or_exit(name)
    settings, console = selected.settings, Console(highlight=False, soft_wrap=True)
    retired = settings.phase is Phase.RETIRE
    if settings.phase not in (Phase.PREPARE, Phase.RETIRE) or selected.finished.get("phase") != settings.phase:
        reached = selected.finished.get("phase", "nothing")
        print(
            f"pgleap: Expected: a fleet in phase prepare, or in retire, finished. Found: it asks for {settings.phase}, and finished {reached}.\n"
            "To do: go back to prepare first (python -m scripts.window --back, or see docs/recovery.md).",
            file=sys.stderr,
        )
        raise typer.Exit(2)
    for part, servers in groups(settings):
        if servers:
            console.print(f"{part}: {', '.join(server.name for server in servers)}")
    lost = [server.name for server in settings.servers.values() if server.lost]
    if lost:
        console.print(f"lost, and left as they are: {', '.join(lost)}")
    target = "which stays as it is" if retired else "whose clusters go with it"
    if not yes and not typer.confirm(f"Take pgleap away from these, also from DB_A, {target}?"):
        raise typer.Exit(2)
    for part, servers in groups(settings):
        if servers and not take_away(settings, part, servers, console):
            console.print(
                "[red]Stopped. Mend what is said above, then run this again: what is done already stays done.[/red]"
            )
            raise typer.Exit(1)
    console.print(f"Nothing of pgleap's is left on these servers.\n{AFTERWARDS}")


if __name__ == "__main__":
    typer.run(main)
