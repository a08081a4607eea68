"""One night of faults: the stage, who sits at the stack, the probe, and what is told."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rehearsal import operator_stack, stage
from rehearsal.data.fill import Psql, Size
from rehearsal.drill.breakage import give_small_disk
from rehearsal.drill.expect import expect
from rehearsal.drill.operator import Ended, Operator, Running
from rehearsal.drill.probe import Probe
from rehearsal.drill.story import Stories, Story
from rehearsal.lab import databases
from rehearsal.lab.hosts import Host
from rehearsal.lab.lab import Lab
from rehearsal.lab.place import Report
from rehearsal.stage import Stage, Wanted, psql_as_root
from rehearsal.traffic import install
from rehearsal.traffic.log import Operation, read

# Seconds that transactions under way are given at the seal.
GRACE = 3
# The goal; met on an idle machine only. Two cores that carry ten servers, their clients, the probe and the operator at once are
# slower, and not always the same. What no run may exceed leaves room for a ^C in `cutover`, whose way back is two `up` and the
# end of a third. The page shows what each way back took.
BACK_SECONDS = 5.0
BACK_LIMIT = 30.0
RESUME_SECONDS = 10.0
BY_HAND = "pulumi up --config phase=prepare --config round=<one higher>"
BACK = "python -m scripts.window --back"
# DB_A's disk in megabytes, beside three times the data: what preflight asks to be free for pg_upgrade (max_wal_size, 1024, and what a new
# cluster takes), with something to spare; small enough to be filled in a moment.
ROOM = 1500


@dataclass
class Night:
    """What the stories share: the stage, who sits at the stack, the probe, what was told."""

    stage: Stage
    operator: Operator
    probe: Probe
    stories: Stories = field(default_factory=Stories)
    report: Report = print

    @property
    def old(self) -> str:
        """The old primary's name."""
        return self.stage.fleet.primary.name

    @property
    def new(self) -> str:
        """DB_A's name."""
        return self.stage.fleet.target.name

    @property
    def online(self) -> tuple[str, ...]:
        """The online servers: three at least, so that at cutover one is left when two are in trouble."""
        return self.stage.fleet.online

    def host(self, name: str) -> Host:
        """A server of the lab."""
        return self.stage.lab.host(name)

    def psql(self, name: str) -> Psql:
        """A server's database as root, who gets in also while it is sealed."""
        return psql_as_root(self.host(name))

    def journal(self, name: str) -> dict[str, Any]:
        """What a database server remembers, read where its disk lies on this machine: in a moment, also while it is down."""
        return self.remembered(name, "journal.json")

    def remembered(self, name: str, file_name: str) -> dict[str, Any]:
        """A file of the agent's on a server, read in the same way."""
        file = self.stage.lab.place.hosts / name / "root" / "var" / "lib" / "pgleap" / file_name
        found: dict[str, Any] = json.loads(file.read_text())
        return found

    def takes_writes(self, *servers: str) -> None:
        """Fails unless exactly these accept what the probe tries to write, now."""
        found = self.probe.accepting()
        expect(
            found == set(servers),
            f"expected writes to be accepted by {sorted(servers) or 'nobody'}, found {sorted(found) or 'nobody'}",
        )

    def finished(self, phase: str) -> None:
        """Fails unless the fleet stands in this phase, finished."""
        found = self.stands()
        expect(found == (phase, True), f"expected the fleet in {phase}, finished; found (phase, finished): {found}")

    def stands(self) -> tuple[str, bool] | None:
        """The phase of the old primary's journal and whether it is finished; None before pgleap was ever there."""
        try:
            journal = self.journal(self.old)
        except FileNotFoundError:
            return None
        return journal.get("phase", "prepare"), journal.get("finished", False)

    def up(self, phase: str, *, higher: bool = False) -> Ended:
        """`pulumi up` to this phase, which succeeds."""
        ended = self.operator.up(phase, higher=higher).done()
        self.finished(phase)
        return ended

    def write_again(self, *servers: str) -> None:
        """Fails unless every client on these servers, of whatever kind, has a write of its own accepted, from now on."""
        now = time.time()
        hosts = [self.host(name) for name in servers]
        wanted = {(name, kind) for name in servers for kind in install.KINDS}
        deadline = now + RESUME_SECONDS
        while True:
            accepted = {
                (one.server, one.client)
                for one in self._glance(hosts)
                if one.outcome == "acknowledged" and one.start >= now
            }
            if wanted <= accepted:
                return
            expect(
                time.time() < deadline, f"no write accepted within {RESUME_SECONDS:g} s: {sorted(wanted - accepted)}"
            )

    def _glance(self, hosts: list[Host]) -> list[Operation]:
        folder = self.stage.lab.place.root / "glance"
        install.collect(hosts, folder)
        return read(folder)

    def writes_are_back(self, ended: Ended, story: Story, by: str | None = None) -> None:
        """Keep how many seconds after the command's start an online server's write was accepted; it is judged in the end. `by`: the address of
        the database that has to have accepted it, where another one took writes until the command came to it."""
        online = [self.host(name) for name in self.online]
        after = [
            one.end
            for one in self._glance(online)
            if one.outcome == "acknowledged" and one.start >= ended.began and by in (None, one.address)
        ]
        expect(after, f"no online server's write was accepted since: {ended.said}")
        story.back = round(min(after) - ended.began, 2)
        self.report(
            f"{story.fault}: writes are back after {story.back} s (load {Path('/proc/loadavg').read_text().strip()})\n{ended.steps}"
        )

    def interrupted_window_goes_back(self, running: Running, story: Story) -> None:
        """^C a window: it goes back to prepare by itself, and says for how long writes were refused."""
        interrupted = time.time()
        running.interrupt()
        ended = running.end()
        expect(ended.status == 1, f"expected exit status 1, found {ended.status}: {ended.said}")
        story.refuses(ended.said, "Writes were refused for")
        self.finished("prepare")
        self.writes_are_back(ended.since(interrupted), story)
        story.repairs("by itself")

    def operations(self) -> list[Operation]:
        """What every client logged so far."""
        install.collect(self.stage.clients, self.stage.logs)
        return read(self.stage.logs)


@contextmanager
def night_in(lab: Lab, wanted: Wanted | None = None, report: Report = print) -> Iterator[Night]:
    """Databases, data and traffic on a fleet that is up, and the probe at work."""
    wanted = wanted or Wanted(lab.fleet, Size())
    primary = lab.host(lab.fleet.primary.name)
    restored = stage.put_databases(lab, wanted.size, report, wanted, before_replicas=lambda: _allow_prepared(primary))
    give_small_disk(lab.host(lab.fleet.target.name), ROOM + 3 * _megabytes(primary))
    on_stage = replace(stage.put_traffic(lab, report, wanted.mix), restored=restored)
    # Without target groups: what the load balancer takes is no part of these stories.
    servers = operator_stack.config(lab.place, fleet=lab.fleet, instances=False)["pgleap:servers"]
    on_stage.pulumi.configure({"pgleap:servers": servers})
    operator = Operator(on_stage)
    operator.limit(graceSeconds=GRACE)
    with Probe(lab.fleet).at_work() as probe:
        time.sleep(1)
        yield Night(on_stage, operator, probe, report=report)


def _allow_prepared(primary: Host) -> None:
    databases.psql(primary, "postgres", "ALTER SYSTEM SET max_prepared_transactions = 4")
    primary.run(["systemctl", "restart", databases.UNIT])


def _megabytes(primary: Host) -> int:
    return int(primary.run(["du", "-sm", databases.DATA]).split()[0])
