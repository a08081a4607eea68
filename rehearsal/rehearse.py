"""The rehearsal: the lab's fleet taken through the phases with the project's own program, under traffic, and judged."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from rehearsal import after, facts, recording, stage
from rehearsal.data import own_faults
from rehearsal.data.compare import Fingerprint, differences, emptied, fingerprint
from rehearsal.data.definitions import Definitions, changed, definitions
from rehearsal.data.fill import LEDGER_DATABASES
from rehearsal.engine.project import CommandFailedError, Outcome
from rehearsal.foreseen import Foreseen, ask
from rehearsal.lab.fleet import ORDINARY
from rehearsal.lab.place import LabError, Place, Report
from rehearsal.report.model import Comparison, Move
from rehearsal.stage import Stage, Wanted
from rehearsal.traffic import install
from rehearsal.traffic.ledger import Reconciliation, entries, reconcile
from rehearsal.traffic.log import Operation, counts, read, read_errors
from rehearsal.traffic.outage import Outage, outage

FORWARD = ("prepare", "readonly", "upgrade", "cutover", "replicas", "retire")
ONLINE = ORDINARY.online
# Clients whose reads must not fail: a connection for each request, and a pool that tests before it hands one out.
JUDGED = ("connect", "testing-pool")
# How long the traffic runs before the first move and after the last, in seconds: each client writes some dozen times.
QUIET_SECONDS = 5.0

Show = Callable[[str], None]


@dataclass
class Judgement:
    """What a rehearsal saw. `began` and `ended` are in seconds since the epoch, from the fleet that stands to the last write looked up.

    `online` are the servers that it is judged on; `notes` (how the fleet is not as in its config), `restored` (the schemas given) and
    `not_rehearsed` are told and no faults; what of the schemas `fails` in the window as well is one.
    """

    online: tuple[str, ...] = ONLINE
    began: float = field(default_factory=time.time)
    ended: float = 0.0
    moves: list[Move] = field(default_factory=list)
    comparison: Comparison | None = None
    restored: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    not_rehearsed: list[str] = field(default_factory=list)
    fails: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    operations: list[Operation] = field(default_factory=list)
    outage: Outage | None = None
    ledger: Reconciliation | None = None
    ground: facts.Ground | None = None
    foreseen: Foreseen | None = None

    @property
    def seconds(self) -> dict[str, float]:
        """How long each phase's whole `up` took."""
        return {move.phase: move.ended - move.began for move in self.moves}

    @property
    def steps(self) -> list[tuple[str, str, float]]:
        """(phase, step, seconds) of every step that ended."""
        return [
            (move.phase, one.name, one.seconds) for move in self.moves for one in move.steps if one.seconds is not None
        ]

    @property
    def differing(self) -> list[str]:
        """What is not equal on both sides of the upgrade."""
        return self.comparison.differing if self.comparison else []

    @property
    def emptied(self) -> list[str]:
        """Unlogged tables that arrived empty."""
        return self.comparison.emptied if self.comparison else []

    @property
    def comparing(self) -> float:
        """The seconds that the comparison took."""
        return self.comparison.ended - self.comparison.began if self.comparison else 0.0

    def read_errors(self, client: str) -> int:
        """Failed reads of one kind of client on the online servers."""
        return sum(1 for one in read_errors(self.operations, self.online) if one.client == client)

    def complaints(self) -> list[str]:
        """Why this rehearsal failed, in sentences; empty if it succeeded."""
        found = [*self.fails, *(f"content differs: {one}" for one in self.differing)]
        found += self.wrong
        if self.ledger is None or not self.ledger.whole:
            missing = (
                "the ledger was not looked up" if self.ledger is None else f"{len(self.ledger.missing)} writes missing"
            )
            found.append(f"the ledger is not whole: {missing}")
        for client in JUDGED:
            failed = [one for one in read_errors(self.operations, self.online) if one.client == client]
            if failed:
                found.append(
                    f"{len(failed)} reads of the client `{client}` failed on online servers, such as {failed[0]}"
                )
            if not counts(self.operations).get((client, "read")):
                found.append(f"the client `{client}` did not read at all")
        if self.outage is None or self.outage.window is None or self.outage.window.until is None:
            found.append("the write outage has no beginning or no end")
        return found


def rehearse(it: Stage, show: Show, report: Report, until: str = FORWARD[-1]) -> Judgement:
    """Take the fleet through the phases up to `until`, one `up` each, and judge. Raises CommandFailedError if one fails."""
    judged = judgement(it)
    judged.ground = facts.before(it)
    time.sleep(QUIET_SECONDS)
    for phase in FORWARD[: FORWARD.index(until) + 1]:
        if phase == "readonly":
            judged.foreseen = ask(it)
        if phase == "prepare":
            prepare(it, judged, show, report)
        else:
            move(it, phase, None, judged, show, report)
        judged.wrong += after.wrong_with_load_balancer(it, phase)
        if phase == "upgrade":
            compare(it, judged, report)
        if phase == "replicas":
            judged.wrong += after.wrong_with_replicas(it)
            time.sleep(QUIET_SECONDS)  # reads on the new replicas, before the old ones go
    if until == "retire":
        judged.wrong += [*after.wrong_with_replicas(it), *after.wrong_with_old_servers(it)]
    time.sleep(QUIET_SECONDS)
    judged.ground = facts.after(it, judged.ground)
    after_cutover = FORWARD.index(until) >= FORWARD.index("cutover")
    judge(it, judged, (it.fleet.target if after_cutover else it.fleet.primary).name)
    return judged


def prepare(it: Stage, judged: Judgement, show: Show, report: Report) -> None:
    """The first move. Raises LabError if the schema trial refuses it: of a schema that was given that is no fault of the lab's."""
    try:
        move(it, "prepare", None, judged, show, report)
    except CommandFailedError as failed:
        found = [*judged.fails, *own_faults.of_trial(failed.outcome.said)]
        if not found:
            raise
        raise LabError(
            "\n".join(
                [
                    "Expected schemas that pg_upgrade can restore. Found, by the schema trial in `prepare`, as your own fleet's would find it:",
                    *found,
                    "To do: what stands behind each --, on your old primary; then make the file anew and rehearse again.",
                ]
            )
        ) from failed


def judgement(it: Stage) -> Judgement:
    """An empty one, for this stage."""
    return Judgement(
        it.fleet.online,
        restored=[one.sentence for one in it.restored],
        not_rehearsed=[line for one in it.restored for line in one.not_rehearsed],
        fails=[line for one in it.restored for line in one.fails_in_window],
    )


def move(it: Stage, phase: str, round_: int | None, judged: Judgement, show: Show, report: Report) -> Outcome:
    """One move as an operator makes it: the config, a preview to read, the `up`. Raises CommandFailedError."""
    it.pulumi.config_set("pgleap:phase", phase)
    if round_ is not None:
        it.pulumi.config_set("pgleap:round", str(round_))
    report(f"{phase}: pulumi preview --diff")
    read = recording.preview(it.pulumi, show)
    report(f"{phase}: pulumi up")
    done, moved = recording.up(it.pulumi, phase, read, lambda line: _progress(line, show))
    judged.moves.append(moved)
    report(f"{phase}: done in {done.checked().seconds:.1f} s")
    return done


def compare(it: Stage, judged: Judgement, report: Report) -> None:
    """Every table on both sides of the upgrade, while neither takes writes."""
    began = time.time()
    servers = [it.fleet.primary.name, it.fleet.target.name]
    before, after = (content(it, name) for name in servers)
    defined = [defined_on(it, name) for name in servers]
    judged.comparison = Comparison(
        began=began,
        ended=time.time(),
        differing=[*differences(before, after), *changed(*defined)],
        emptied=emptied(before, after),
        objects=sum(len(one) for one in defined[0].values()),
    )
    objects = f", and {judged.comparison.objects} objects of the schemas given," if it.restored else ""
    report(
        f"compared every table{objects} of {' and '.join(servers)} in {judged.comparing:.1f} s (writes are refused meanwhile)"
    )


def content(it: Stage, name: str) -> Fingerprint:
    """The content of all databases on a server."""
    return fingerprint(stage.psql_as_root(it.lab.host(name)))


def defined_on(it: Stage, name: str) -> Definitions:
    """How the objects of the schemas that were given are defined on a server."""
    return definitions(stage.psql_as_root(it.lab.host(name)), [one.database for one in it.restored])


def judge(it: Stage, judged: Judgement, server: str) -> None:
    """Stop the traffic, bring its logs back, and look every acknowledged write up on `server`."""
    install.stop(it.clients)
    install.collect(it.clients, it.logs)
    judged.operations = read(it.logs)
    judged.outage = outage(judged.operations, judged.online)
    judged.ledger = reconcile(judged.operations, entries(stage.psql_as_root(it.lab.host(server)), LEDGER_DATABASES))
    judged.ended = time.time()


def _progress(line: str, show: Show) -> None:
    """Only lines about a step: components and the engine's dots tell nobody anything."""
    if "command:remote:" in line or "command:local:" in line or "error" in line:
        show(re.sub(r"\[diff: [^]]*\]; ?", "", line))


def whole(wanted: Wanted, said: Sequence[str], show: Show, report: Report, made_by: str = "rehearsal") -> Judgement:
    """Set the stage, say how it is not as in the config, rehearse, and take it down again, whatever happens."""
    place = Place()
    for line in said:
        report(line)
    try:
        judged = rehearse(stage.set_up(place, wanted, report, made_by), show, report)
        judged.notes += said
        return judged
    finally:
        report(f"took the lab down: {', '.join(stage.take_down(place))}")
