"""A client of the lab's databases. Runs on a server by itself: Python 3.11 and psycopg2, nothing of this repository.

Four kinds: `connect` opens a connection for every request; `testing-pool` tests a connection with SELECT 1 before it
hands it out, and replaces it if the test fails; `plain-pool` does not test, and replaces a connection after an error;
`worker` is an offline task: it only writes. Names are resolved by libpq, from /etc/hosts, for each new connection.

Each operation becomes one line of JSON in <log>/<kind>.jsonl, whatever came of it; nothing is tried again. Keys:
start, end (seconds since the epoch), kind (read, write), client, name, database, ok, sqlstate and error (null if ok),
address and version of the server that answered (null if none did), and for a write its id in the ledger and its
outcome: acknowledged (COMMIT returned), failed (an error before it was sent, or the server's refusal of it), unknown
(the connection was lost during COMMIT: the write may be there or not).
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import signal
import socket
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2.extensions import connection, cursor

# Milliseconds from one request to the next. A new connection costs both sides some twenty times what a request does.
INTERVALS = {"connect": 500.0, "testing-pool": 200.0, "plain-pool": 200.0, "worker": 250.0}
POOL_SIZE = 2  # connections for each name and database
# libpq's parameters. Nobody waits longer than some seconds: for a connection, a statement, or a server that is gone.
# Without TLS, which on the lab's two cores costs more than everything else that a new connection does.
PARAMETERS = (
    "connect_timeout=3 tcp_user_timeout=6000 keepalives_idle=3 keepalives_interval=1 keepalives_count=3 "
    "options='-c statement_timeout=5s -c lock_timeout=4s' sslmode=disable gssencmode=disable"
)
# libpq gives no SQLSTATE when it cannot connect; these are the server's own words, and libpq's.
CONNECT_FAILURES = {
    "pg_hba.conf": "28000",
    "the database system is": "57P03",
    "too many clients": "53300",
    "Connection refused": "connect: refused",
    "timeout expired": "connect: timeout",
}
SOME_CUSTOMER = "(SELECT 1 + (random() * (max(id) - 1))::bigint FROM customer)"
# Every value of every row that these return is neither null, zero nor empty, on any server at any time.
READS = (
    f"SELECT id, total, lines FROM order_total WHERE customer_id = {SOME_CUSTOMER}",
    f"SELECT name, wishes -> 'colour' FROM customer WHERE lower(email) = 'c' || {SOME_CUSTOMER} || '@example.com'",
    "SELECT id, price, price_with_tax - price, length(description) FROM product WHERE tags @> '{tag3,tag5}' LIMIT 20",
    "SELECT month, orders, total FROM sales_by_month",
)


class ImplausibleError(Exception):
    """A read that succeeded, and returned what cannot be."""


class Link:
    """A connection, and the address and version of the server behind it."""

    def __init__(self, name: str, database: str, role: str) -> None:
        self.connection: connection = psycopg2.connect(PARAMETERS, host=name, dbname=database, user=role)
        self.connection.autocommit = True
        where = "SELECT host(inet_server_addr()), current_setting('server_version_num')::int"
        self.address, self.version = self.rows(where)[0]

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        work = self.connection.cursor()
        work.execute(query)
        return work.fetchall()

    def answers(self) -> bool:
        try:
            return bool(self.rows("SELECT 1"))
        except psycopg2.Error:
            return False

    def clear(self) -> bool:
        """End a transaction that an error left open; whether the connection is still of use."""
        try:
            if not self.connection.closed:
                self.connection.cursor().execute("ROLLBACK")
        except psycopg2.Error:
            self.connection.close()
        return not self.connection.closed


class EveryRequest:
    """Hands out a new connection each time."""

    def __init__(self, role: str) -> None:
        self.role = role

    @contextmanager
    def lend(self, name: str, database: str) -> Iterator[Link]:
        link = Link(name, database, self.role)
        try:
            yield link
        finally:
            link.connection.close()


class Pool:
    """Keeps connections for one thread and hands them out in turn, tested or not."""

    def __init__(self, role: str, *, tests: bool) -> None:
        self.role, self.tests = role, tests
        self.places: dict[tuple[str, str], deque[Link | None]] = {}

    @contextmanager
    def lend(self, name: str, database: str) -> Iterator[Link]:
        places = self.places.setdefault((name, database), deque([None] * POOL_SIZE))
        link = places.popleft()
        try:
            if link and self.tests and not link.answers():
                link.connection.close()
                link = None
            link = link or Link(name, database, self.role)
            yield link
        except Exception:
            # The testing pool keeps what still works, as such pools do: after "read-only transaction" it stays there.
            if link and not (self.tests and link.clear()):
                link.connection.close()
                link = None
            raise
        finally:
            places.append(link)


def order(work: cursor, _entry: str) -> int:
    """An order of two products: partitions, foreign keys (one deferred to COMMIT), stock."""
    work.execute(f"INSERT INTO orders (customer_id) VALUES ({SOME_CUSTOMER}) RETURNING id, placed")
    key = work.fetchall()[0]
    work.execute(
        """INSERT INTO order_line SELECT %s, %s, id, 1 + (random() * 3)::int, price FROM product
        WHERE id >= (SELECT 1 + (random() * (max(id) - 2))::int FROM product) ORDER BY id LIMIT 2
        RETURNING product_id, quantity""",
        key,
    )
    for product, quantity in sorted(work.fetchall()):  # in the same order everywhere: no deadlocks
        work.execute("UPDATE stock SET quantity = quantity - %s WHERE product_id = %s", (quantity, product))
    work.execute(
        "INSERT INTO payment (method, order_id, placed, amount) SELECT %s, id, placed, total FROM order_total"
        " WHERE id = %s AND placed = %s",
        (random.choice(["card", "transfer", "invoice"]), *key),
    )
    return int(key[0])


def keep_document(work: cursor, entry: str) -> None:
    """A document of an order, as a large object."""
    work.execute("SELECT keep_document(%s, convert_to(%s, 'UTF8'))", (entry, f"{entry} " * 200))


def post(work: cursor, entry: str) -> int:
    """An answer to some post: a trigger counts it in another table."""
    work.execute(
        """INSERT INTO post (parent_id, member_id, body) SELECT id, member_id, %s FROM post
        WHERE id >= (SELECT 1 + (random() * (max(id) - 1))::bigint FROM post) ORDER BY id LIMIT 1 RETURNING id""",
        (f"Written for ledger entry {entry}",),
    )
    return int(work.fetchall()[0][0])


def alarm(work: cursor, _entry: str) -> int:
    """A sample that goes to a partition, and an alarm numbered by a falling sequence."""
    sensor = random.randint(1, 40)
    work.execute("INSERT INTO sample VALUES (%s, now(), random(), ARRAY[random(), 1.5]::real[])", (sensor,))
    work.execute("INSERT INTO alarm (sensor_id) VALUES (%s) RETURNING id", (sensor,))
    return int(work.fetchall()[0][0])


WRITES: dict[str, Callable[[cursor, str], int]] = {"shop": order, "forum": post, "metrics": alarm}


class Client:
    """One client: what it asks, and the log it keeps of it."""

    def __init__(self, kind: str, log: Path, documents: int = 0) -> None:
        self.kind = kind
        self.documents = documents  # of a hundred orders, those with one
        self.writer = f"{socket.gethostname()}/{kind}"
        self.log = (log / f"{kind}.jsonl").open("a", buffering=1, encoding="utf-8")
        self.lock = threading.Lock()

    def source(self, role: str) -> EveryRequest | Pool:
        return EveryRequest(role) if self.kind == "connect" else Pool(role, tests=self.kind == "testing-pool")

    def ask(
        self, line: dict[str, Any], source: EveryRequest | Pool, work: Callable[[Link, dict[str, Any]], None]
    ) -> None:
        """Do one operation and log it. An error of whatever sort is what the operation came to, and goes in the log."""
        line = {"start": time.time(), "client": self.kind, "address": None, "version": None, **line}
        state = error = None
        try:
            with source.lend(line["name"], line["database"]) as link:
                line.update(address=link.address, version=link.version)
                work(link, line)
        except Exception as raised:
            state, error = sqlstate(raised, connected=line["address"] is not None), " ".join(str(raised).split())[:300]
        ok = line["outcome"] == "acknowledged" if line["kind"] == "write" else error is None
        line |= {"end": time.time(), "ok": ok, "sqlstate": state, "error": error}
        with self.lock:
            self.log.write(json.dumps(line) + "\n")

    def reads(self, names: list[str]) -> Callable[[], None]:
        turns, source = itertools.cycle(itertools.product(READS, names)), self.source("app_reader")

        def one() -> None:
            query, name = next(turns)
            line = {"kind": "read", "name": name, "database": "shop"}
            self.ask(line, source, lambda link, _: check(link, query))

        return one

    def writes(self, name: str, databases: list[str]) -> Callable[[], None]:
        turns, source = itertools.cycle(databases), self.source("app_writer")

        def one() -> None:
            line = {
                "kind": "write",
                "name": name,
                "database": next(turns),
                "id": str(uuid.uuid4()),
                "outcome": "failed",
            }
            self.ask(line, source, self.write)

        return one

    def write(self, link: Link, line: dict[str, Any]) -> None:
        with link.connection.cursor() as work:
            work.execute("BEGIN")
            made = WRITES[line["database"]](work, line["id"])
            if line["database"] == "shop" and random.random() * 100 < self.documents:
                keep_document(work, line["id"])
            work.execute("INSERT INTO ledger (id, client, made) VALUES (%s, %s, %s)", (line["id"], self.writer, made))
            line["outcome"] = "unknown"
            try:
                work.execute("COMMIT")
            except psycopg2.Error:
                # An answer to COMMIT on a connection that goes on is a refusal. Anything else leaves it open.
                line["outcome"] = "unknown" if link.connection.closed else "failed"
                raise
            line["outcome"] = "acknowledged" if work.statusmessage == "COMMIT" else "failed"


def check(link: Link, query: str) -> None:
    rows = link.rows(query)
    if not rows or not all(all(row) for row in rows):
        raise ImplausibleError(f"expected rows without empty values, found {rows[:3]} from: {query}")


def sqlstate(error: Exception, *, connected: bool) -> str:
    """The server's SQLSTATE; for failures that have none 08006 on a connection, else what kept it from being made."""
    if not isinstance(error, psycopg2.Error):
        return type(error).__name__
    if error.pgcode:
        return error.pgcode
    if connected:
        return "08006"
    return next((state for words, state in CONNECT_FAILURES.items() if words in str(error)), "connect")


def repeat(step: Callable[[], None], seconds: float, stop: threading.Event) -> None:
    """Take the step every so many seconds; one that takes longer delays the next, and is not made up for."""
    due = time.monotonic() + random.random() * seconds
    while not stop.wait(max(0.0, due - time.monotonic())):
        step()
        due = max(due + seconds, time.monotonic())


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description="a client of the lab's databases")
    parser.add_argument("kind", choices=list(INTERVALS))
    parser.add_argument("--interval", type=float, help="milliseconds from one request of a client to its next")
    parser.add_argument("--reads-every", type=float, help="the same for reads alone")
    parser.add_argument("--writes-every", type=float, help="the same for writes alone")
    parser.add_argument("--clients", type=int, default=1, help="how many clients, each with connections of its own")
    parser.add_argument("--reads", nargs="+", default=["db2.internal.ln", "db3.internal.ln", "db1.internal.ln"])
    parser.add_argument("--writes", default="db1.internal.ln")
    parser.add_argument("--databases", nargs="+", choices=list(WRITES), default=["shop", "metrics"], help="to write to")
    parser.add_argument("--documents", type=int, default=0, help="of a hundred orders, those kept with a large object")
    parser.add_argument("--log", type=Path, default=Path("/var/log/pgleap-traffic"))
    return parser


def main() -> None:
    options = arguments().parse_args()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    client = Client(options.kind, options.log, options.documents)
    usual = options.interval or INTERVALS[options.kind]
    threads = []
    for _ in range(options.clients):
        steps = [(client.writes(options.writes, options.databases), options.writes_every or usual)]
        if options.kind != "worker":
            steps.append((client.reads(options.reads), options.reads_every or usual))
        threads += [threading.Thread(target=repeat, args=(step, every / 1000, stop)) for step, every in steps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
