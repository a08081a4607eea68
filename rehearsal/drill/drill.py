"""A rehearsal with every way back practised and every fault made: it goes on after an exercise that failed, and says in the end which did."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from rehearsal import after, rehearse, stage
from rehearsal.data.fill import LEDGER_DATABASES
from rehearsal.drill.exercises import EXERCISES, Exercise
from rehearsal.drill.expect import WrongError
from rehearsal.drill.night import BACK_LIMIT, Night, night_in
from rehearsal.drill.practice import stand
from rehearsal.drill.probe import acknowledged, authorities, lost
from rehearsal.drill.story import Row, row
from rehearsal.lab import lab
from rehearsal.lab.place import Place, Report
from rehearsal.rehearse import JUDGED, QUIET_SECONDS, Judgement
from rehearsal.stage import Wanted
from rehearsal.traffic import install
from rehearsal.traffic.ledger import entries, reconcile
from rehearsal.traffic.log import Operation, counts, read_errors

# A message of hundreds of lines stands above the table already.
LETTERS = 300


@dataclass
class Drilled:
    """What a drill saw. `failed`: exercise -> why. `rows` are the figures of all that was begun, also of what broke off, `servers` those of the fleet by role.

    `authorities` are the databases that took writes, one after another; `wrong` is what was found once all was over; `notes` say how the
    fleet is not as in its config, `not_rehearsed` what of the schemas given was not restored.
    """

    servers: dict[str, list[str]] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    acknowledged: int = 0
    lost: int = 0
    authorities: list[str] = field(default_factory=list)
    restored: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    not_rehearsed: list[str] = field(default_factory=list)

    def complaints(self) -> list[str]:
        """Why this drill failed, in sentences; empty if it succeeded."""
        return [*(f"{name}: {why}" for name, why in self.failed.items()), *self.wrong]


def whole(wanted: Wanted, said: Sequence[str], report: Report) -> Drilled:
    """Boot the fleet, drill, go on to retire, judge, and take it down again, whatever happens. Raises LabError."""
    place = Place()
    report(f"{len(EXERCISES)} exercises, some minutes each; one that fails does not end it (^C does)")
    try:
        it = lab.up(place, report, "rehearsal", fleet=wanted.fleet)
        with night_in(it, wanted, report) as night:
            drilled = drill(night, report)
            drilled.notes += said
            return drilled
    finally:
        report(f"took the lab down: {', '.join(stage.take_down(place))}")


def drill(night: Night, report: Report, exercises: Sequence[Exercise] = EXERCISES) -> Drilled:
    """Do the exercises one after another, and then what a rehearsal ends with; what it came to."""
    judged = rehearse.judgement(night.stage)
    drilled = Drilled(servers=_by_role(night), restored=judged.restored, not_rehearsed=judged.not_rehearsed)
    time.sleep(QUIET_SECONDS)
    for number, one in enumerate(exercises, 1):
        report(f"{number} of {len(exercises)}: {one.name}")
        began = time.monotonic()
        why = _why_not(night, one, judged)
        drilled.seconds[one.name] = round(time.monotonic() - began, 1)
        if why is None:
            report(f"{number} of {len(exercises)}: passed, {drilled.seconds[one.name]:.0f} s")
        else:
            drilled.failed[one.name] = _short(why)
            report(f"{number} of {len(exercises)}: FAILED: {why}")
    drilled.wrong += judged.differing
    _to_the_end(night, drilled, report)
    _judge(night, drilled)
    return drilled


def show(drilled: Drilled, console: Console) -> None:
    """The figures of each exercise, and the verdict."""
    table = Table(
        "fault, or way back",
        "seconds",
        "writes refused",
        "back",
        "forward again",
        "lost / acknowledged",
        "failed reads",
        title="The drill (db1 is the old primary, as in docs/faults.md)",
    )
    for one in drilled.rows:
        table.add_row(
            escape(one.fault),
            f"{one.seconds:.0f}",
            "-" if one.writes_refused is None else f"{one.writes_refused:.1f} s",
            "-" if one.back is None else f"{one.back:.1f} s",
            "-" if one.forward is None else f"{one.forward:.0f} s",
            f"{one.lost} / {one.acknowledged}",
            f"{one.read_errors} / {one.reads}",
        )
    console.print(table)
    console.print(
        f"{drilled.acknowledged} writes acknowledged, {drilled.lost} lost; writes were taken by {', then '.join(drilled.authorities)}"
    )
    for line in drilled.restored:
        console.print(f"the schema given: {escape(line)}")
    for line in drilled.notes:
        console.print(f"[yellow]otherwise than in the config:[/yellow] {escape(line)}")
    for line in drilled.not_rehearsed:
        console.print(f"[yellow]not rehearsed:[/yellow] {escape(line)}")
    for complaint in drilled.complaints():
        console.print(f"[red]failed:[/red] {escape(complaint)}")
    passed = len(drilled.seconds) - len(drilled.failed)
    console.print(f"{passed} of {len(drilled.seconds)} exercises passed")


def _why_not(night: Night, one: Exercise, judged: Judgement) -> str | None:
    """Do it; None if it succeeded, else why not. Whatever an exercise meets is what it came to, and the next one begins."""
    try:
        stand(night, one.begins)
    except Exception as error:
        return f"could not begin: {error}"
    try:
        one.do(night, judged)
    except Exception as error:
        return str(error) or type(error).__name__
    return None


def _to_the_end(night: Night, drilled: Drilled, report: Report) -> None:
    """As in a rehearsal: new replicas, and the old servers stop."""
    try:
        stand(night, "cutover")
        night.takes_writes(night.new)
        night.probe.stop()  # retire is refused while anybody is connected to an old server
        for phase, wrong in (
            ("replicas", after.wrong_with_replicas),
            ("retire", after.wrong_with_old_servers),
        ):
            report(f"{phase}: pulumi up")
            night.operator.up(phase).done()
            drilled.wrong += wrong(night.stage)
            time.sleep(QUIET_SECONDS)
    except Exception as error:
        drilled.wrong.append(f"on to retire: {_short(str(error))}")


def _judge(night: Night, drilled: Drilled) -> None:
    """Every acknowledged write is looked up, every read is counted."""
    install.stop(night.stage.clients)
    operations = night.operations()
    holder = _authorities(night, operations, drilled)
    psql = night.psql(holder)
    ledger = reconcile(operations, entries(psql, LEDGER_DATABASES))
    probed = lost(night.probe.commits, psql)
    drilled.acknowledged = ledger.acknowledged
    drilled.lost = len(ledger.missing) + len(ledger.torn) + len(probed)
    if not ledger.whole or probed:
        drilled.wrong.append(
            f"writes on {holder}: {len(ledger.missing)} missing, {len(ledger.torn)} torn, {len(ledger.failed_present)} refused and there,"
            f" {len(probed)} of the probe's missing"
        )
    online = night.online
    drilled.rows = [row(story, night.stories, operations, ledger, online) for story in night.stories.all_in_order()]
    slow = [one for one in drilled.rows if one.back is not None and one.back > BACK_LIMIT]
    drilled.wrong += [f"{one.fault}: writes were back after {one.back:.1f} s, over {BACK_LIMIT:g} s" for one in slow]
    failed = read_errors([one for one in operations if one.client in JUDGED], online)
    if unexplained := [one for one in failed if not night.stories.explain(one)]:
        drilled.wrong.append(f"{len(unexplained)} reads failed on online servers, such as {unexplained[0]}")
    drilled.wrong += [
        f"the client `{client}` did not read at all" for client in JUDGED if (client, "read") not in counts(operations)
    ]


def _authorities(night: Night, operations: Sequence[Operation], drilled: Drilled) -> str:
    """Who took writes, one after another; the name of the last one."""
    clients = acknowledged(operations, night.stage.fleet)
    try:
        drilled.authorities = authorities([*night.probe.commits, *clients])
    except WrongError as error:
        drilled.wrong.append(str(error))
        last = max(clients, key=lambda one: one.sent)
        return last.server
    return drilled.authorities[-1].split()[0]


def _by_role(night: Night) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for server in night.stage.fleet.servers:
        found.setdefault(server.role, []).append(server.name)
    return found


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LETTERS else f"{line[:LETTERS]}…"
