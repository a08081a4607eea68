"""A schema trial's own server on a simulated machine, and the programs that dump and restore. It is no cluster of the fleet's: its socket lies
in a folder of the operating system's postgres alone, so nobody's names or clients lead to it.

What a catalog holds under BROKEN cannot be restored into the new version.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from agent.server import Completed
from tests.model.cluster import Cluster

if TYPE_CHECKING:
    from tests.model.machine import Machine
    from tests.model.programs import Call

BROKEN = "table that cannot be restored"


def initdb(machine: Machine, call: Call) -> Completed:
    data = call.option("pgdata")
    with machine.effect("made the trial's cluster"):
        machine.put(f"{data}/PG_VERSION", b"17\n")
    return Completed(0, "", "")


def start(machine: Machine, call: Call) -> Completed:
    """pg_ctl start: a server, and its process."""
    data = call.argv[call.argv.index("-D") + 1]
    assert machine.path(f"{data}/PG_VERSION").exists(), "it starts what is not there"
    assert not machine.trials, "two servers on pg_upgrade's port"
    with machine.effect("started the trial's server"):
        machine.world.last_postmaster += 100_000
        pid = machine.world.last_postmaster
        machine.trials[data] = pid
        machine.put(f"{data}/postmaster.pid", f"{pid}\n".encode())
        machine.put(f"/proc/{pid}/cmdline", b"\0".join([b"/usr/lib/postgresql/17/bin/postgres", b"-D", data.encode()]))
    return Completed(0, "", "")


def end(machine: Machine, pid: int) -> bool:
    """It is killed; whether it was one."""
    for data, its in list(machine.trials.items()):
        if its == pid:
            with machine.effect("ended the trial's server"):
                forget(machine, data)
            return True
    return False


def forget(machine: Machine, data: str) -> None:
    """Its process is gone; its lock file stays, as after any end without a farewell."""
    pid = machine.trials.pop(data)
    machine.path(f"/proc/{pid}/cmdline").unlink()
    machine.path(f"/proc/{pid}").rmdir()


def dump(machine: Machine, call: Call) -> Completed:
    """pg_dump and pg_dumpall, of the running standby."""
    cluster: Cluster | None = machine.listening(call.environment["PGPORT"])
    if cluster is None:
        return Completed(1, "", "pg_dump: error: connection to server failed")
    refused = cluster.admits(call.environment["PGUSER"], None, os_user=call.user)
    if refused is not None:
        return Completed(1, "", f"pg_dump: error: {refused}")
    machine.put(call.option("file"), json.dumps(sorted(cluster.catalog)).encode())
    return Completed(0, "", "")


def restore(machine: Machine, call: Call) -> Completed:
    """pg_restore."""
    text = machine.text(call.argv[-1])
    if "--list" in call.argv:
        return Completed(0, "", "")
    assert len(machine.trials) == 1, "nothing to restore into"
    with machine.effect("restored into the trial's cluster"):
        pass
    if BROKEN in json.loads(text):
        said = "pg_restore: from TOC entry 1; 1259 1 TABLE t app\npg_restore: error: could not execute query: ERROR:  no\nCommand was: x\n"
        return Completed(1, "", said)
    return Completed(0, "", "")


def statements(machine: Machine, call: Call) -> Completed:
    """psql of a file: what all databases share."""
    assert len(machine.trials) == 1, "nothing to restore into"
    assert machine.path(call.option("file")).exists()
    return Completed(0, "", "")
