"""The rehearsal: the lab's fleet taken through the phases with the project's own program, under traffic, and judged."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from rehearsal import after, stage
from rehearsal.data.compare import Fingerprint, differences, emptied, fingerprint
from rehearsal.data.fill import LEDGER_DATABASES, Size
from rehearsal.engine.project import Outcome
from rehearsal.lab.place import Place, Report
from rehearsal.stage import Stage
from rehearsal.traffic import install
from rehearsal.traffic.ledger import Reconciliation, entries, reconcile
from rehearsal.traffic.log import Operation, counts, read, read_errors
from rehearsal.traffic.outage import Outage, outage

FORWARD = ("prepare", "readonly", "upgrade", "cutover", "replicas", "retire")
ONLINE = ("web1", "web2")
# Clients whose reads must not fail: a connection for each request, and a pool that tests before it hands one out.
JUDGED = ("connect", "testing-pool")
# How long the traffic runs before the first move and after the last, in seconds: each client writes some dozen times.
QUIET_SECONDS = 5.0

Show = Callable[[str], None]


@dataclass
class Judgement:
    """What a rehearsal saw. `steps` are (phase, step, seconds), `seconds` each phase's whole `up`."""

    steps: list[tuple[str, str, float]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    differing: list[str] = field(default_factory=list)
    emptied: list[str] = field(default_factory=list)
    comparing: float = 0.0
    wrong: list[str] = field(default_factory=list)
    operations: list[Operation] = field(default_factory=list)
    outage: Outage | None = None
    ledger: Reconciliation | None = None

    def read_errors(self, client: str) -> int:
        """Failed reads of one kind of client on the online servers."""
        return sum(1 for one in read_errors(self.operations, ONLINE) if one.client == client)

    def complaints(self) -> list[str]:
        """Why this rehearsal failed, in sentences; empty if it succeeded."""
        found = [f"content differs: {one}" for one in self.differing]
        found += self.wrong
        if self.ledger is None or not self.ledger.whole:
            missing = (
                "the ledger was not looked up" if self.ledger is None else f"{len(self.ledger.missing)} writes missing"
            )
            found.append(f"the ledger is not whole: {missing}")
        for client in JUDGED:
            failed = [one for one in read_errors(self.operations, ONLINE) if one.client == client]
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
    judged = Judgement()
    time.sleep(QUIET_SECONDS)
    for phase in FORWARD[: FORWARD.index(until) + 1]:
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
    judge(it, judged, "db-a" if FORWARD.index(until) >= FORWARD.index("cutover") else "db1")
    return judged


def move(it: Stage, phase: str, round_: int | None, judged: Judgement, show: Show, report: Report) -> Outcome:
    """One move as an operator makes it: the config, a preview to read, the `up`. Raises CommandFailedError."""
    it.pulumi.config_set("pgleap:phase", phase)
    if round_ is not None:
        it.pulumi.config_set("pgleap:round", str(round_))
    report(f"{phase}: pulumi preview --diff")
    for line in it.pulumi.preview().checked().stdout.splitlines():
        show(line)
    report(f"{phase}: pulumi up")
    done = it.pulumi.up(on_line=lambda line: _progress(line, show)).checked()
    judged.seconds[phase] = done.seconds
    judged.steps += [(phase, step, seconds) for step, seconds in steps(done.stdout)]
    report(f"{phase}: done in {done.seconds:.1f} s")
    return done


def compare(it: Stage, judged: Judgement, report: Report) -> None:
    """Every table on both sides of the upgrade, while neither takes writes."""
    began = time.monotonic()
    before, after = (content(it, name) for name in ("db1", "db-a"))
    judged.differing, judged.emptied = differences(before, after), emptied(before, after)
    judged.comparing = time.monotonic() - began
    report(f"compared every table of db1 and db-a in {judged.comparing:.1f} s (writes are refused meanwhile)")


def content(it: Stage, name: str) -> Fingerprint:
    """The content of all databases on a server."""
    return fingerprint(stage.psql_as_root(it.lab.host(name)))


def judge(it: Stage, judged: Judgement, server: str) -> None:
    """Stop the traffic, bring its logs back, and look every acknowledged write up on `server`."""
    install.stop(it.clients)
    install.collect(it.clients, it.logs)
    judged.operations = read(it.logs)
    judged.outage = outage(judged.operations, ONLINE)
    judged.ledger = reconcile(judged.operations, entries(stage.psql_as_root(it.lab.host(server)), LEDGER_DATABASES))


_DONE = re.compile(r"^\s*[+~]+\s+command:\S+ (?P<step>\S+) (?:created|updated|replaced) \((?P<seconds>[\d.]+)s\)")


def steps(said: str) -> list[tuple[str, float]]:
    """The steps that an `up` ran, with their seconds as the engine shows them (whole ones from 1 s on). Pure."""
    found = (_DONE.match(line) for line in said.splitlines())
    return [(one["step"], float(one["seconds"])) for one in found if one]


def _progress(line: str, show: Show) -> None:
    """Only lines about a step: components and the engine's dots tell nobody anything."""
    if "command:remote:" in line or "command:local:" in line or "error" in line:
        show(re.sub(r"\[diff: [^]]*\]; ?", "", line))


def whole(size: Size, show: Show, report: Report, made_by: str = "rehearsal") -> Judgement:
    """Set the stage, rehearse, and take it down again, whatever happens."""
    place = Place()
    try:
        return rehearse(stage.set_up(place, size, report, made_by), show, report)
    finally:
        report(f"took the lab down: {', '.join(stage.take_down(place))}")
