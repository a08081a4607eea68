"""The outage, as the clients see it: by hand (the floor), by scripts.window, and by three `pulumi up`; the same data, the same clients.

For each shape one fleet is brought to prepare and kept (snapshot.py); every run begins from it. The ways take turns, so that a slow hour of
the machine is every way's. A run counts only if all that it acknowledged is found again on DB_A.
"""

from __future__ import annotations

import json
import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import median

from rehearsal import facts, stage
from rehearsal.bench import files, shapes
from rehearsal.bench.model import FLOOR, THREE_UPS, WINDOW, Outages, WindowBench, Windows
from rehearsal.bench.shapes import WRITTEN, Shape
from rehearsal.drill.operator import Operator
from rehearsal.lab import databases, keys, lab
from rehearsal.lab.fleet import NEW_VERSION, OLD_VERSION, ORDINARY
from rehearsal.lab.place import REPOSITORY, LabError, Place, Report, call
from rehearsal.snapshot import Snapshot
from rehearsal.stage import Stage
from rehearsal.traffic import install
from rehearsal.traffic.ledger import entries, reconcile
from rehearsal.traffic.log import Operation, read
from rehearsal.traffic.mix import Mix
from rehearsal.traffic.outage import outage

FOLDER = REPOSITORY / ".cache" / "bench"
SCRIPT = Path(__file__).with_name("floor.sh")
# Light, only on the online servers, and to the one database of every shape: each connection costs both sides tens of milliseconds, and with
# many of them on two cores it would be these that are measured.
MIX = Mix(reads=6, writes=6, databases=(WRITTEN,))
# Traffic before the first refused write, and after the last.
QUIET_SECONDS = 4.0
# As scripts.window's forecast counts them.
RELATIONS = "SELECT count(*) FROM pg_class WHERE oid >= 16384"
SIZE = "SELECT sum(pg_database_size(oid)) FROM pg_database"
JOBS = 2


def measure(wanted: Sequence[Shape], runs: int, report: Report) -> Iterator[WindowBench]:
    """Every shape, `runs` times by each way; each as soon as it is there, by itself. Raises LabError, DrillError, CommandFailedError."""
    machine, commit = facts.machine(), files.commit()
    for one in wanted:
        yield WindowBench(machine=machine, commit=commit, runs=runs, shapes=[_shape(one, runs, report)])


def _shape(shape: Shape, runs: int, report: Report) -> Windows:
    place = Place()
    records = FOLDER / "windows.jsonl"
    try:
        it = _prepared(place, shape, records, report)
        primary = partial(databases.psql, it.lab.host(it.fleet.primary.name))
        relations, size = shapes.counted(shape, primary, RELATIONS), int(primary("postgres", SIZE))
        kept = Snapshot.take(it, FOLDER / "snapshot")
        report(f"{shape.name}: {relations} relations, kept in prepare")
        seconds: defaultdict[str, list[float]] = defaultdict(list)
        writes = 0
        for run in range(1, runs + 1):
            for way, go in WAYS.items():
                refused, acknowledged = _run(kept, go)
                seconds[way].append(refused)
                writes += acknowledged
                report(f"{shape.name}, {run} of {runs}, {way}: writes refused for {refused:.2f} s")
        parts = {WINDOW: _medians(records)}
        outages = [Outages(way=way, seconds=each, parts=parts.get(way, {})) for way, each in seconds.items()]
        return Windows(
            shape=shape.name,
            databases=shape.databases,
            relations=relations,
            bytes=size,
            writes=writes,
            outages=outages,
        )
    finally:
        stage.take_down(place)
        shutil.rmtree(FOLDER / "snapshot", ignore_errors=True)


def _prepared(place: Place, shape: Shape, records: Path, report: Report) -> Stage:
    """The lab's fleet in prepare, its clients installed and stopped; what days do between that and a window is done."""
    booted = lab.up(place, report, "bench")
    databases.make_primary(booted, shape.databases + 1)
    primary = booted.host(ORDINARY.primary.name)
    shapes.fill(shape, primary)
    databases.make_replicas(booted)
    it = stage.put_traffic(booted, report, MIX)
    install.stop(it.clients)
    records.parent.mkdir(parents=True, exist_ok=True)
    records.unlink(missing_ok=True)
    it.pulumi.configure({"pgleap:windowRecords": str(records)})
    Operator(it).up("prepare").done()
    primary.run(["vacuumdb", "--all", "--analyze", "--quiet"], user=databases.SUPERUSER)
    databases.psql(primary, "postgres", "CHECKPOINT")
    return it


def _run(kept: Snapshot, go: Callable[[Stage], None]) -> tuple[float, int]:
    """One outage in seconds, and how many writes were acknowledged around it."""
    it = kept.it
    kept.bring_back()
    clients = [it.lab.host(name) for name in it.fleet.online]
    install.start(clients)
    time.sleep(QUIET_SECONDS)
    go(it)
    time.sleep(QUIET_SECONDS)
    install.stop(clients)
    shutil.rmtree(it.logs, ignore_errors=True)
    install.collect(clients, it.logs)
    operations = read(it.logs)
    found = outage(operations, it.fleet.online).window
    if found is None or found.until is None:
        raise LabError("Expected writes to be refused for a time; found no beginning or no end of it in the logs.")
    return round(found.seconds, 3), _looked_up(it, operations)


def _looked_up(it: Stage, operations: Sequence[Operation]) -> int:
    """How many acknowledged writes there were. Raises LabError if one is missing on DB_A, or if DB_A took none."""
    target = it.lab.host(it.fleet.target.name)
    ledger = reconcile(operations, entries(partial(databases.psql, target), [WRITTEN]))
    if not ledger.whole:
        raise LabError(f"Expected every acknowledged write on {target.name}, found {len(ledger.missing)} missing.")
    if not any(one.ok and one.kind == "write" and one.address == target.server.address for one in operations):
        raise LabError(f"Expected writes to be taken by {target.name} at the end, found none.")
    return ledger.acknowledged


def _by_hand(it: Stage) -> None:
    fleet = it.fleet
    names = "\\|".join(name.replace(".", "\\.") for name in fleet.names)
    others = [one.name for one in fleet.with_role("drained", "worker")]
    argv = [SCRIPT, keys.config(it.lab.place), fleet.primary.name, fleet.reads_from, fleet.target.name]
    argv += [fleet.target.address, fleet.named(fleet.reads_from).address, OLD_VERSION, NEW_VERSION, JOBS, names]
    call("bash", *(str(word) for word in argv), *fleet.online, "--", *others, seconds=600)


def _by_window(it: Stage) -> None:
    Operator(it).window().end().done()


def _by_three_ups(it: Stage) -> None:
    operator = Operator(it)
    for phase in ("readonly", "upgrade", "cutover"):
        operator.up(phase).done()


WAYS: dict[str, Callable[[Stage], None]] = {FLOOR: _by_hand, WINDOW: _by_window, THREE_UPS: _by_three_ups}


def _medians(records: Path) -> dict[str, float]:
    """What each part of scripts.window's outages took, the median over the runs, the longest first."""
    each: defaultdict[str, list[float]] = defaultdict(list)
    lines = [json.loads(line)["parts"] for line in records.read_text().splitlines()]
    for name in {name for parts in lines for name in parts}:
        each[name] = [parts.get(name, 0.0) for parts in lines]
    found = {name: round(median(seconds), 3) for name, seconds in each.items()}
    return dict(sorted(found.items(), key=lambda one: -one[1]))
