"""What an old replica of the test's own tells of the old primary, read as the other servers read it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from agent import asked_live, functions, identity, old_replicas
from agent.asked_live import Witnesses
from agent.client_rules import READER
from agent.cluster import from_desired
from agent.journal import JOURNAL_FILE, Authority, Fence, Journal
from agent.postgres import Postgres
from agent.report import Refusal
from agent.server import Server
from agent.states import Phase
from tests.preflight.databases import BINARIES, Database, running
from tests.preflight.standbys import standby_of, until

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.skipif(not BINARIES, reason="no PostgreSQL server at /usr/lib/postgresql/*/bin"),
]
REPLICAS = {"db2": "127.0.0.1"}


@contextmanager
def old_primary(binaries: Path, root: Path) -> Iterator[tuple[Database, Postgres]]:
    with tempfile.TemporaryDirectory(prefix="pgleap-") as folder, running(Path(folder), {}, binaries=binaries) as found:
        found.sql(f"CREATE ROLE {READER} LOGIN REPLICATION")
        postgres = Postgres(Server(root), from_desired(found.desired()["postgres"]), "127.0.0.1", role="postgres")
        yield found, postgres


@pytest.mark.parametrize("binaries", [BINARIES[0], BINARIES[-1]] if BINARIES else [], ids=lambda one: one.parent.name)
def test_a_replica_tells_that_the_old_primary_took_writes_again(
    binaries: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The only witness there is, once the old primary is dead and DB_A was away."""
    with old_primary(binaries, tmp_path) as (primary, postgres):
        monkeypatch.setattr("agent.postgres.SOCKET_FOLDER", str(primary.folder))
        functions.make(postgres, "postgres")
        cluster = postgres.cluster
        told = postgres.server.run(
            cluster.program("pg_controldata"), "-D", cluster.data, environment={"LC_ALL": "C"}
        ).stdout
        found = next(line.split()[-1] for line in told.splitlines() if "system identifier" in line)
        assert identity.of_cluster(Server(), cluster.data) == found
        with standby_of(primary, primary.folder / "standby") as standby:
            seen = Postgres(postgres.server, replace(cluster, port=standby.port), "127.0.0.1")
            # It answers, and was never told anything: the message that names the file is PostgreSQL's own.
            assert asked_live.witnesses(REPLICAS, seen) == Witnesses([], ["db2"])
            old_replicas.refuse_held_again(REPLICAS, seen, known=1)
            fence = Fence(int(primary.sql("SELECT pg_snapshot_xmax(pg_current_snapshot())")), "0/1")
            old_replicas.refuse_ahead(REPLICAS, seen, fence)
            # As the seal leaves it, which the statement must get through.
            primary.sql("ALTER SYSTEM SET default_transaction_read_only = on; SELECT pg_reload_conf()")
            until(primary, "SELECT current_setting('default_transaction_read_only') = 'on'")
            old_replicas.tell(postgres, 2)
            until(standby, f"SELECT shobj_description('{READER}'::regrole, 'pg_authid') LIKE '% 2'")
            old_replicas.refuse_held_again(REPLICAS, seen, known=2)
            with pytest.raises(Refusal, match="db2 knows of epoch 2"):
                old_replicas.refuse_held_again(REPLICAS, seen, known=1)
            with pytest.raises(Refusal, match="knows of all before id"):
                old_replicas.refuse_ahead(REPLICAS, seen, fence)
            _remembers(primary, standby, alone=True)
            assert asked_live.witnesses(REPLICAS, seen) == Witnesses(["db2"], [])
            _remembers(primary, standby, alone=False)
            assert asked_live.witnesses(REPLICAS, seen) == Witnesses([], ["db2"])
        assert asked_live.witnesses(REPLICAS, seen) == Witnesses([], []), "it does not answer"


def _remembers(primary: Database, standby: Database, *, alone: bool) -> None:
    """The file that the functions show lies in a folder of the test's own."""
    file = standby.folder / "journal.json"
    own = Journal(Phase.PREPARE, 2, finished=True, authority=Authority.NONE, epoch=0, alone=alone)
    file.write_text(json.dumps(own.to_json()))
    file.chmod(0o644)
    shown = primary.sql("SELECT prosrc FROM pg_proc WHERE oid = 'pgleap.journal'::regproc").strip()
    elsewhere = shown.replace(JOURNAL_FILE, str(file)).replace("'", "''")
    body = f"UPDATE pg_proc SET prosrc = '{elsewhere}' WHERE oid = 'pgleap.journal'::regproc"
    if str(file) not in shown:
        primary.sql(f"SET default_transaction_read_only = off; {body}")
    until(standby, f"SELECT prosrc LIKE '%{file}%' FROM pg_proc WHERE oid = 'pgleap.journal'::regproc")
