"""Everything that would hurt in the window, while there is time: `python -m scripts.preflight [--json]`. It only reads.

Exit status: 0 nothing refuses, 1 something does, 2 there is no stack to look at.
"""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated

import typer
from rich.console import Console

from components.desired import Desire
from components.settings import Settings
from scripts import backend, fleet_ssh, stack
from scripts.preflight import ask, balancing, table, ways
from scripts.preflight.outcome import Fleet
from scripts.preflight.report import Report, report


def collect(settings: Settings, *, made: bool, deadline: float = ask.DEADLINE) -> Report:
    """Look at all servers, the bastion and the load balancer at once. `deadline` in seconds is each one's own."""
    began = time.monotonic()
    with ThreadPoolExecutor() as pool:
        said = pool.submit(ask.ask, settings, made=made, deadline=deadline)
        balanced = pool.submit(balancing.look, Desire(settings))
        hop = settings.ssh.bastion and pool.submit(
            fleet_ssh.ask_bastion, settings, ways.BASTION_COMMAND, min(deadline, fleet_ssh.DEADLINE)
        )
        kept = pool.submit(_backend)
        seen = Fleet(settings, said.result(), made, hop.result() if hop else None, balanced.result(), *kept.result())
    return report(seen, time.monotonic() - began)


def _backend() -> tuple[str, str]:
    """Where the state is kept; or, of a backend that is not told, nothing and why."""
    try:
        return backend.address(stack.PROJECT), ""
    except backend.BackendError as error:
        return "", str(error)


def main(
    as_json: Annotated[bool, typer.Option("--json", help="Everything that was found, for programs.")] = False,
    name: Annotated[str | None, typer.Option("--stack", help="Another stack than the selected one.")] = None,
    deadline: Annotated[float, typer.Option(min=1, help="Seconds that each server has to answer.")] = ask.DEADLINE,
) -> None:
    """Look for everything that would hurt in the window. Changes nothing, and installs nothing."""
    with Console(stderr=True).status("reading the stack") as progress:
        selected = stack.read_or_exit(name)
        progress.update(f"asking {len(selected.settings.servers)} servers, {deadline:g} s at most")
        found = collect(selected.settings, made=bool(selected.finished), deadline=deadline)
    if as_json:
        print(json.dumps(found.to_json(), indent=2))
    else:
        table.show(found)
    raise typer.Exit(found.exit_status)


if __name__ == "__main__":
    typer.run(main)
