"""The page of what was watched on the night: python -m rehearsal.report.watched FOLDER REPORT_FOLDER.

FOLDER/<machine>/watch.jsonl is what `scripts.watch --json-lines` kept on each machine. The report is one like a rehearsal's, without what
nobody but a rehearsal sees: phases and steps, the ledger, tables, hosts files.
"""

from __future__ import annotations

import platform
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from rehearsal.lab.place import REPOSITORY
from rehearsal.rehearse import JUDGED
from rehearsal.report import count, gather, page
from rehearsal.report.model import Report, Server, Versions
from rehearsal.traffic import outage
from rehearsal.traffic.log import Operation, read, read_errors

# PostgreSQL's server_version_num: from 10 on the major version times this, plus the minor one.
MAJOR = 10_000


def report(operations: Sequence[Operation]) -> Report:
    """The report of what the machines saw. Pure but for this program's own version. Raises ValueError if there is no operation."""
    if not operations:
        raise ValueError("expected operations, found none: nothing was watched")
    machines = sorted({one.server for one in operations})
    answered = dict.fromkeys(one.address for one in operations if one.address)
    writers = sorted({one.server for one in operations if one.kind == "write"})
    seen = gather.outage_of(outage.outage(operations, writers)) if writers else None
    versions = [one.version for one in operations if one.version]
    fleet = [Server(name=name, role="watches", address=f"({name})") for name in machines]
    fleet += [Server(name=address, role="answered", address=address) for address in answered]
    return Report(
        kind="watched",
        began=operations[0].start,
        ended=max(one.end for one in operations),
        complaints=complaints(operations, machines),
        versions=Versions(
            pgleap=tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"],
            commit=None,
            postgres_old=_said(versions[0]) if versions else "?",
            postgres_new=_said(versions[-1]) if versions and versions[-1] // MAJOR != versions[0] // MAJOR else None,
            engine=None,
            python=platform.python_version(),
            plugins={},
        ),
        machine=None,
        databases=[],
        fleet=fleet,
        moves=[],
        traffic=count.traffic(operations, {one.name: one.address for one in fleet}, machines, JUDGED),
        outage=seen,
        latencies=count.latencies(operations, machines, seen.window if seen else None),
        ledger=None,
        comparison=None,
        hosts_files=[],
        restored=[],
        notes=[],
        not_rehearsed=[],
    )


def complaints(operations: Sequence[Operation], machines: Sequence[str]) -> list[str]:
    """What should not have been seen, in sentences: both of the meter's clients are of the kinds whose reads must not fail."""
    failed = read_errors([one for one in operations if one.client in JUDGED], machines)
    found = []
    if failed:
        first = failed[0]
        found.append(f"{len(failed)} reads failed, the first on {first.server} through {first.name}: {first.error}")
    last = {(one.server, one.client, one.name): one for one in operations if one.kind == "write"}
    found += [
        f"the last write on {one.server} through {one.name} was not accepted: {one.error}"
        for one in last.values()
        if one.outcome != "acknowledged"
    ]
    return found


def _said(number: int) -> str:
    """Such as 15.18, of 150018."""
    return f"{number // MAJOR}.{number % MAJOR}"


def main(
    folder: Annotated[Path, typer.Argument(exists=True, file_okay=False)],
    target: Annotated[Path, typer.Argument(metavar="REPORT_FOLDER", file_okay=False)],
) -> None:
    """Make report.json and report.html of what the machines watched."""
    try:
        found = report(read(folder))
    except (FileNotFoundError, ValueError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    target.mkdir(parents=True, exist_ok=True)
    file = target / gather.JSON
    file.write_text(found.model_dump_json() + "\n", encoding="utf-8")
    typer.echo(page.write(file, target / gather.HTML))


if __name__ == "__main__":
    typer.run(main)
