"""What a rehearsal measured, for the forecast and for people. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from agent.amounts import told
from components.settings import Role, Settings
from scripts.forecast import prior
from scripts.forecast.run import Run, Shape

# What the window's step on DB_A does while writes are refused.
OF_THE_OUTAGE = ("promote", "stop", "pg_upgrade", "start")
WORDS = {
    "baseBackup": "base backup",
    "check": "pg_upgrade --check, on the standby",
    "promote": "promotion",
    "stop": "stop",
    "pg_upgrade": "pg_upgrade",
    "start": "first start, sealed, and what the stream back needs",
    "firstStatistics": "statistics: the first, coarse ones",
    "statistics": "statistics: all",
}


class FiguresError(Exception):
    """It was not measured whole; the message says what is missing, and what to do."""


def run(settings: Settings, stack: str, measured: Mapping[str, Any], at: float) -> Run:
    """The line that is kept; `at` in seconds since the epoch. Raises FiguresError if an act is missing: it was interrupted, and done by
    two runs, neither of which saw the whole of it."""
    acts: Mapping[str, float] = measured.get("seconds", {})
    counts: Mapping[str, int] = measured.get("counts", {})
    wanted = ("databases", "relations", "mostRelations", "largeObjects", "dataBytes")
    missing = [name for name in OF_THE_OUTAGE if name not in acts] + [name for name in wanted if name not in counts]
    if missing:
        raise FiguresError(
            f"Expected: what every act of the upgrade took, and how much there was. Found: no {', no '.join(missing)}:"
            " the upgrade was interrupted.\nTo do: run it again; it begins with a new copy"
        )
    shape = Shape(
        old=settings.versions.old,
        new=settings.versions.new,
        transfer_mode=settings.postgres.transfer_mode,
        jobs=settings.postgres.jobs,
        databases=counts["databases"],
        relations=counts["relations"],
        most_relations=counts["mostRelations"],
        large_objects=counts["largeObjects"],
        bytes=counts["dataBytes"],
        servers=sum(not one.lost for one in settings.servers.values()),
        online=len(settings.with_role(Role.ONLINE)),
        cores=counts.get("cores", 0),
        memory_bytes=counts.get("memoryBytes", 0),
    )
    parts = {prior.DATABASE: round(sum(acts[name] for name in OF_THE_OUTAGE), 2)}
    return Run(at=at, stack=stack, ended="rehearsal", shape=shape, parts=parts, acts=dict(acts))


def table(found: Run) -> Table:
    """Seconds by act; those that writes wait for in a window are marked."""
    shown = Table("act", "seconds", "writes wait for it", title="On the true data")
    for name, words in WORDS.items():
        if name in found.acts:
            shown.add_row(words, f"{found.acts[name]:.1f}", "yes" if name in OF_THE_OUTAGE else "")
    shown.add_section()
    shown.add_row("[bold]of an outage", f"[bold]{found.seconds:.1f}", "")
    return shown


def amount(found: Run) -> str:
    """How much there was, and how fast it was copied."""
    shape = found.shape
    rate = f" at {shape.bytes / 1e6 / found.acts['baseBackup']:.0f} MB/s" if found.acts.get("baseBackup") else ""
    return f"{told(shape.databases, shape.relations, shape.large_objects)}; {shape.bytes / 1e9:.1f} GB, copied{rate}."
