"""From what a rehearsal saw to its report, and its two files. Pure but for `write`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from rehearsal.drill.drill import Drilled
from rehearsal.drill.story import Row
from rehearsal.facts import Ground
from rehearsal.rehearse import JUDGED, Judgement
from rehearsal.report import count, page, records
from rehearsal.report.model import Drill, Exercise, Ledger, Outage, Report, Spell, Write
from rehearsal.traffic import ledger, outage
from rehearsal.traffic.log import Operation
from scripts.forecast.run import keep

JSON, HTML, RECORD = "report.json", "report.html", "windows.jsonl"


def write(judged: Judgement, drilled: Drilled | None, folder: Path) -> Path:
    """Write the report, its page, and what the forecast can learn from it; the page's path. The page is made from what was written, so
    that it can be made again from it."""
    assert judged.ground is not None
    folder.mkdir(parents=True, exist_ok=True)
    file, record = folder / JSON, folder / RECORD
    made = report(judged, judged.ground, drilled)
    file.write_text(made.model_dump_json() + "\n", encoding="utf-8")
    record.unlink(missing_ok=True)
    if judged.foreseen and (learnt := records.run(made, judged.foreseen.shape)):
        keep(record, learnt)
    return page.write(file, folder / HTML)


def report(judged: Judgement, ground: Ground, drilled: Drilled | None = None) -> Report:
    """The report of a rehearsal that got to its end, and of the drill after it. Raises ValueError if there was no traffic."""
    seen = outage_of(judged.outage) if judged.outage else None
    return Report(
        began=judged.began,
        ended=judged.ended,
        complaints=judged.complaints(),
        versions=ground.versions,
        machine=ground.machine,
        databases=ground.databases,
        fleet=ground.fleet,
        moves=judged.moves,
        traffic=count.traffic(
            judged.operations, {one.name: one.address for one in ground.fleet}, judged.online, JUDGED
        ),
        outage=seen,
        latencies=count.latencies(judged.operations, judged.online, seen.window if seen else None),
        ledger=_ledger(judged.ledger) if judged.ledger else None,
        comparison=judged.comparison,
        hosts_files=ground.hosts_files,
        restored=judged.restored,
        notes=judged.notes,
        not_rehearsed=judged.not_rehearsed,
        drill=_drill(drilled) if drilled else None,
    )


def outage_of(seen: outage.Outage) -> Outage:
    """As the report has it."""
    return Outage(
        window=_spell(seen.window),
        servers={server: _spell(one) for server, one in seen.servers.items()},
        slowest=seen.slowest,
    )


def _spell(seen: outage.Spell | None) -> Spell | None:
    if seen is None:
        return None
    return Spell(since=seen.since, until=seen.until, seconds=seen.seconds, refused=seen.refused)


def _ledger(found: ledger.Reconciliation) -> Ledger:
    return Ledger(
        acknowledged=found.acknowledged,
        found=found.found,
        missing=_writes(found.missing),
        torn=_writes(found.torn),
        failed_present=_writes(found.failed_present),
        unknown_present=len(found.unknown_present),
        unknown_absent=len(found.unknown_absent),
        strangers={database: len(ids) for database, ids in found.strangers.items()},
    )


def _writes(operations: Iterable[Operation]) -> list[Write]:
    return [
        Write(
            id=one.id or "",
            server=one.server,
            client=one.client,
            database=one.database,
            at=one.start,
            error=one.error,
        )
        for one in operations
    ]


def _drill(drilled: Drilled) -> Drill:
    return Drill(
        exercises=[_exercise(one) for one in drilled.rows],
        asked=len(drilled.seconds),
        failed=drilled.failed,
        complaints=drilled.complaints(),
        acknowledged=drilled.acknowledged,
        lost=drilled.lost,
        authorities=drilled.authorities,
        notes=drilled.notes,
    )


def _exercise(row: Row) -> Exercise:
    figures = asdict(row)
    return Exercise(name=figures.pop("fault"), **figures)
