"""A logical consumer at work on the old primary, as a change data capture is: PostgreSQL's own pg_recvlogical, which comes back by itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rehearsal.data.fill import Psql
from rehearsal.drill.expect import until
from rehearsal.lab.fleet import OLD_VERSION
from rehearsal.lab.hosts import Host

NAME = "cdc"
UNIT = "lab-consumer.service"
RECEIVED, SAID = "/var/lib/postgresql/consumer.received", "/var/lib/postgresql/consumer.said"
ACTIVE = f"SELECT count(*) FROM pg_replication_slots WHERE slot_name = '{NAME}' AND active"


@dataclass(frozen=True)
class Consumer:
    """It runs on `host`, which is the database's own server, and follows one database there."""

    host: Host
    psql: Psql

    def received(self) -> str:
        """What it was sent, as test_decoding writes it."""
        return self.host.run(["cat", RECEIVED])

    def said(self) -> str:
        """What it complained of."""
        return self.host.run(["cat", SAID])

    def is_inside(self) -> bool:
        return self.psql("postgres", ACTIVE).strip() == "1"


@contextmanager
def consuming(host: Host, psql: Psql, database: str) -> Iterator[Consumer]:
    """One that follows `database`, by a slot of its own; both are gone afterwards. The database must be open then."""
    psql(database, f"SELECT FROM pg_create_logical_replication_slot('{NAME}', 'test_decoding')")
    program = f"/usr/lib/postgresql/{OLD_VERSION}/bin/pg_recvlogical"
    follow = [program, "-d", database, "--slot", NAME, "--start", "--status-interval", "1", "-f", RECEIVED]
    unit = [
        "systemd-run",
        f"--unit={UNIT}",
        "--collect",
        "--quiet",
        "--uid=postgres",
        "-p",
        f"StandardError=append:{SAID}",
    ]
    host.run([*unit, *follow])
    it = Consumer(host, psql)
    try:
        until(it.is_inside, "the consumer to follow")
        yield it
    finally:
        host.run(["systemctl", "stop", UNIT])
        until(lambda: not it.is_inside(), "the consumer to be gone")
        psql(database, f"SELECT pg_drop_replication_slot('{NAME}')")
        host.run(["rm", "-f", RECEIVED, SAID])
