"""The lab's data and a client, on a PostgreSQL server of the test's own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.client_sessions import ENDED_IF_IDLE
from rehearsal import facts
from rehearsal.data.compare import differences, fingerprint
from rehearsal.data.fill import DATABASES, LEDGER_DATABASES, Size, fill
from rehearsal.traffic import client, install
from rehearsal.traffic.ledger import entries, reconcile
from rehearsal.traffic.log import Kind, Operation, counts, read
from tests.unit.own_server import BINARIES, Server, running

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.skipif(not BINARIES, reason="no PostgreSQL server at /usr/lib/postgresql/*/bin"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("server"), BINARIES[0]) as found:
        fill(found.psql, found.pgbench, Size(rows=500, bench_scale=1, extra_tables=3), str(found.archive))
        yield found


def test_the_data_holds_one_of_everything(server: Server) -> None:
    """What the rehearsal does not carry across it proves nothing about."""
    kinds = {
        "shop": """
            SELECT 'range partitions', count(*) FROM pg_partitioned_table WHERE partstrat = 'r' UNION ALL
            SELECT 'list partitions', count(*) FROM pg_partitioned_table WHERE partstrat = 'l' UNION ALL
            SELECT 'identity always', count(*) FROM pg_attribute WHERE attidentity = 'a' UNION ALL
            SELECT 'identity by default', count(*) FROM pg_attribute WHERE attidentity = 'd' UNION ALL
            SELECT 'generated', count(*) FROM pg_attribute WHERE attgenerated = 's' UNION ALL
            SELECT 'foreign keys', count(*) FROM pg_constraint WHERE contype = 'f' UNION ALL
            SELECT 'free sequences', count(*) FROM pg_class c WHERE relkind = 'S' AND NOT EXISTS (
                SELECT FROM pg_depend WHERE objid = c.oid AND deptype IN ('a', 'i')) UNION ALL
            SELECT 'materialized views', count(*) FROM pg_matviews WHERE ispopulated UNION ALL
            SELECT 'triggers', count(*) FROM pg_trigger WHERE NOT tgisinternal UNION ALL
            SELECT 'large objects', count(*) FROM pg_largeobject_metadata UNION ALL
            SELECT 'unlogged', count(*) FROM pg_class WHERE relpersistence = 'u' UNION ALL
            SELECT 'other tablespace', count(*) FROM pg_class WHERE reltablespace <> 0 AND relkind = 'r' UNION ALL
            SELECT 'extensions', count(*) / 3 FROM pg_extension WHERE extname LIKE 'pg_trgm' OR extname = 'hstore'
                OR extname = 'pg_stat_statements' UNION ALL
            SELECT 'toasted', pg_relation_size(reltoastrelid) FROM pg_class WHERE relname = 'product' UNION ALL
            SELECT 'expression index', count(*) FROM pg_index WHERE indexprs IS NOT NULL UNION ALL
            SELECT 'scram passwords', count(*) / 2 FROM pg_authid WHERE rolname LIKE 'app%' AND rolpassword LIKE 'SCRAM%' UNION ALL
            SELECT 'no primary key', count(*) FROM pg_class c WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
                AND NOT EXISTS (SELECT FROM pg_index WHERE indrelid = c.oid);""",
        "metrics": "SELECT 'extra tables', count(*) / 3 FROM pg_tables WHERE schemaname = 'many';",
    }
    for database, query in kinds.items():
        for line in server.psql(database, query).splitlines():
            kind, number = line.split("|")
            assert int(number) > 0, kind


def test_the_size_that_the_report_gives(server: Server) -> None:
    """Catalogs counted as tables would make a small rehearsal look like a large one."""
    found = {one.name: one for one in facts.sizes(server.psql)}
    assert found.keys() == {*DATABASES, "postgres"}
    assert found["bench"].tables == 4
    assert (found["postgres"].tables, found["postgres"].large_objects) == (0, 0)
    assert found["shop"].large_objects > 0
    assert found["shop"].relations > found["shop"].tables > 10
    assert found["bench"].bytes > 10_000_000


def test_the_writer_owns_nothing(server: Server) -> None:
    """A writer that owns its tables can do more than a real application's role can, and would hide missing rights."""
    owned = "SELECT count(*) FROM pg_shdepend WHERE deptype = 'o' AND refobjid IN ('app_writer'::regrole, 'app_reader'::regrole);"
    assert server.psql("postgres", owned) == "0\n"


def test_a_fingerprint_sees_every_database(server: Server) -> None:
    """A database that is passed over could lose everything; two fingerprints of one content must be equal."""
    content = fingerprint(server.psql)
    assert {*DATABASES, "postgres"} == content.keys()
    assert content["shop"].tables["public.orders_before_2024"].rows > 0
    assert "public.orders" not in content["shop"].tables  # its rows are those of its partitions
    assert content["shop"].unlogged["public.basket"].rows == 100
    assert content["forum"].materialized.keys() == {"forum.busiest"}
    assert content["metrics"].sequences["public.countdown"].step == -2
    assert differences(content, fingerprint(server.psql)) == []


@pytest.mark.parametrize(
    ("database", "change", "undo", "found"),
    [
        (
            "bench",
            "UPDATE pgbench_accounts SET abalance = 1 - abalance WHERE aid IN (7)",
            "UPDATE pgbench_accounts SET abalance = 0 WHERE aid = 7",
            "bench: table public.pgbench_accounts differs",
        ),
        (
            "shop",
            "SELECT lo_put(min(oid), 5, 'x') FROM pg_largeobject_metadata",
            "SELECT 1",
            "shop: large object",
        ),
        (
            "forum",
            "SELECT setval('forum.post_id_seq', 3)",
            "SELECT setval('forum.post_id_seq', 500)",
            "post_id_seq went back",
        ),
        ("postgres", "CREATE TABLE stray ()", "DROP TABLE stray", "postgres: table public.stray is only there after"),
    ],
)
def test_a_change_of_one_value_is_seen(server: Server, database: str, change: str, undo: str, found: str) -> None:
    """A digest that misses one changed row would call a damaged upgrade equal."""
    before = fingerprint(server.psql)
    server.psql(database, change)
    told = differences(before, fingerprint(server.psql))
    server.psql(database, undo)
    assert len(told) == 1
    assert found in told[0]


def until_each_did(folder: Path, more: int) -> None:
    """Wait until clients of each kind have written so often from now on, and read, those that read. Fails after a minute."""
    acts: list[tuple[str, Kind]] = [
        *((kind, "read") for kind in install.KINDS),
        *((kind, "write") for kind in client.INTERVALS),
    ]

    def done() -> list[int]:
        found = counts(read(folder)) if list(folder.glob("*/*.jsonl")) else {}
        return [found[act].total if act in found else 0 for act in acts]

    before, deadline = done(), time.monotonic() + 60
    while any(now < then + more for now, then in zip(done(), before, strict=True)):
        assert time.monotonic() < deadline, dict(zip(acts, done(), strict=True))
        time.sleep(0.1)


def traffic(server: Server, folder: Path, between: str | None = None, clients: int = 1) -> list[Operation]:
    """Run so many clients of every kind until each has read and written a few times, with queries by the superuser in their midst."""
    (folder / "web1").mkdir()
    passwords = folder / "pgpass"
    passwords.write_text((Path(install.__file__).parent / "pgpass").read_text())
    passwords.chmod(0o600)
    where = {**os.environ, "PGPORT": str(server.port), "PGPASSFILE": str(passwords)}
    common = ["--interval", "50", "--reads", "127.0.0.1", "--writes", "127.0.0.1", "--log", str(folder / "web1")]
    common += ["--clients", str(clients)]
    runs = [
        subprocess.Popen(
            [sys.executable, "-I", client.__file__, kind, *common, "--databases", *LEDGER_DATABASES], env=where
        )
        for kind in client.INTERVALS
    ]
    until_each_did(folder, 20)
    if between:
        server.psql("postgres", between)
        until_each_did(folder, 10)
    for run in runs:
        run.send_signal(signal.SIGTERM)
    assert [run.wait(10) for run in runs] == [0] * len(runs)
    return read(folder)


def test_traffic_is_logged_and_found_again(server: Server, tmp_path: Path) -> None:
    """The whole chain: what clients were told is done must be in the ledgers, and one row taken away must be missed."""
    operations = traffic(server, tmp_path)
    found = counts(operations)
    assert [key for key, count in found.items() if count.failed] == []
    assert found.keys() == {
        *((kind, "read") for kind in install.KINDS),
        *((kind, "write") for kind in client.INTERVALS),
    }
    assert all(count.total > 5 for count in found.values())
    assert {one.address for one in operations} == {"127.0.0.1"}

    result = reconcile(operations, entries(server.psql, LEDGER_DATABASES))
    assert result.whole
    assert (
        result.acknowledged == result.found == sum(count.total for (_, kind), count in found.items() if kind == "write")
    )

    lost = next(one for one in operations if one.kind == "write" and one.database == "metrics")
    server.psql("metrics", f"DELETE FROM ledger WHERE id = '{lost.id}'")
    server.psql("forum", "DELETE FROM forum.post WHERE id = (SELECT max(made) FROM ledger)")
    result = reconcile(operations, entries(server.psql, LEDGER_DATABASES))
    assert [one.id for one in result.missing] == [lost.id]
    assert [one.database for one in result.torn] == ["forum"]
    server.psql("metrics", f"INSERT INTO ledger VALUES ('{lost.id}', 'test', 1)")


def test_idle_sessions_ended_hurt_only_the_pool_that_does_not_test(server: Server, tmp_path: Path) -> None:
    """The two kinds whose reads may not fail must survive what a seal does, or their figure of 0 is out of reach."""
    end = f"SELECT {ENDED_IF_IDLE} FROM pg_stat_activity AS session WHERE usename ~ '^app_';"
    found = counts(traffic(server, tmp_path, end))
    assert found["connect", "read"].failed == found["testing-pool", "read"].failed == 0
    assert found["plain-pool", "read"].failed > 0
    assert found["plain-pool", "read"].failed < found["plain-pool", "read"].total / 2


def test_a_testing_pool_survives_being_ended_again_and_again(server: Server, tmp_path: Path) -> None:
    """Between a look and the end that follows from it a pool's test can be answered: about one in 200 sessions lost a read so,
    and this test saw it nearly every time."""
    end = f"SELECT {ENDED_IF_IDLE} FROM pg_stat_activity AS session WHERE usename ~ '^app_';\nSELECT pg_sleep(0.1);\n"
    found = counts(traffic(server, tmp_path, end * 150, clients=3))
    assert found["testing-pool", "read"].total > 100
    assert found["connect", "read"].failed == found["testing-pool", "read"].failed == 0
    assert found["plain-pool", "read"].failed > 0


def test_a_read_only_server_refuses_writes_by_name(server: Server, tmp_path: Path) -> None:
    """A client that did not log its refusals would make the outage look short; here everyone is refused, and says why."""
    on = "ALTER SYSTEM SET default_transaction_read_only = on; SELECT pg_reload_conf();"
    try:
        operations = traffic(server, tmp_path, on.replace("; ", ";\n"))
    finally:
        server.psql("postgres", "ALTER SYSTEM RESET default_transaction_read_only;\nSELECT pg_reload_conf();")
    found = counts(operations)
    for kind in client.INTERVALS:
        assert found[kind, "write"].errors["25006"] > 0
    # app_writer's own setting in metrics wins over the server's: the reason why a seal cannot rest on it.
    assert {one.database for one in operations if one.sqlstate == "25006"} == {"shop", "forum"}
    assert reconcile(operations, entries(server.psql, LEDGER_DATABASES)).whole
