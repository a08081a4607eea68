"""One night of faults: the stage, who sits at the stack, the probe, and what is told."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from rehearsal import operator_stack, stage
from rehearsal.data.fill import Psql, Size, fill
from rehearsal.lab import databases
from rehearsal.lab.hosts import Host
from rehearsal.lab.lab import Lab
from rehearsal.stage import Stage, psql_as_root
from rehearsal.traffic import install
from rehearsal.traffic.log import Operation, read
from tests.lab.faults.breakage import give_small_disk
from tests.lab.faults.operator import Ended, Operator, Running
from tests.lab.faults.probe import Probe
from tests.lab.faults.story import Stories, Story

# Three, so that at cutover one is left when two are in trouble.
ONLINE = ("web1", "web2", "web3")
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
# DB_A's disk in megabytes: room for both versions' clusters, small enough to be filled in a moment.
DISK = 1200


@dataclass
class Night:
    """What the stories of this package share. `failing` is how many writes the probe was told are done and are lost."""

    stage: Stage
    operator: Operator
    probe: Probe
    stories: Stories = field(default_factory=Stories)

    def host(self, name: str) -> Host:
        """A server of the lab."""
        return self.stage.lab.host(name)

    def psql(self, name: str) -> Psql:
        """A server's database as root, who gets in also while it is sealed."""
        return psql_as_root(self.host(name))

    def journal(self, name: str) -> dict[str, Any]:
        """What a database server remembers, read where its disk lies on this machine: in a moment, also while it is down."""
        file = self.stage.lab.place.hosts / name / "root" / "var" / "lib" / "pgleap" / "journal.json"
        found: dict[str, Any] = json.loads(file.read_text())
        return found

    def takes_writes(self, *servers: str) -> None:
        """Fails unless exactly these accept what the probe tries to write, now."""
        assert self.probe.accepting() == set(servers)

    def finished(self, phase: str) -> None:
        """Fails unless the fleet stands in this phase, finished."""
        journal = self.journal("db1")
        assert (journal["phase"], journal["finished"]) == (phase, True)

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
            assert time.time() < deadline, f"no write accepted within {RESUME_SECONDS:g} s: {sorted(wanted - accepted)}"

    def _glance(self, hosts: list[Host]) -> list[Operation]:
        folder = self.stage.lab.place.root / "glance"
        install.collect(hosts, folder)
        return read(folder)

    def writes_are_back(self, ended: Ended, story: Story) -> None:
        """Keep how many seconds after the command's start an online server's write was accepted; it is judged in the end."""
        online = [self.host(name) for name in ONLINE]
        after = [one.end for one in self._glance(online) if one.outcome == "acknowledged" and one.start >= ended.began]
        assert after, f"no online server's write was accepted since: {ended.said}"
        story.back = round(min(after) - ended.began, 2)
        print(
            f"{story.fault}: writes are back after {story.back} s (load {Path('/proc/loadavg').read_text().strip()})\n{ended.steps}"
        )

    def interrupted_window_goes_back(self, running: Running, story: Story) -> None:
        """^C a window: it goes back to prepare by itself, and says for how long writes were refused."""
        interrupted = time.time()
        running.interrupt()
        ended = running.end()
        assert ended.status == 1, ended.said
        story.refuses(ended.said, "Writes were refused for")
        self.finished("prepare")
        self.writes_are_back(ended.since(interrupted), story)
        story.repairs("by itself")

    def operations(self) -> list[Operation]:
        """What every client logged so far."""
        install.collect(self.stage.clients, self.stage.logs)
        return read(self.stage.logs)


@contextmanager
def night_in(lab: Lab) -> Iterator[Night]:
    """Databases, data and traffic on a fleet that is up, and the probe at work."""
    databases.make_primary(lab)
    db1 = lab.host("db1")
    databases.psql(db1, "postgres", "ALTER SYSTEM SET max_prepared_transactions = 4")
    db1.run(["systemctl", "restart", databases.UNIT])
    fill(partial(databases.psql, db1), partial(databases.pgbench, db1), Size())
    databases.make_replicas(lab)
    give_small_disk(lab.host("db-a"), DISK)
    on_stage = stage.put_traffic(lab, print)
    servers = operator_stack.config(lab.place, instances=False)["pgleap:servers"]
    servers["web3"]["role"] = "online"
    on_stage.pulumi.configure({"pgleap:servers": servers})
    operator = Operator(on_stage)
    operator.limit(graceSeconds=GRACE)
    with Probe().at_work() as probe:
        time.sleep(1)
        yield Night(on_stage, operator, probe)
