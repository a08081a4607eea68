"""Verb `retirement`: an old database server's PostgreSQL stops, and starts no more by itself. Its files stay as they are,
but for the rule that lets no client in: should somebody start it again, what it holds is old."""

from __future__ import annotations

from typing import Any, List, Mapping

from agent import base_backup, journal
from agent.access import put
from agent.client_rules import with_seal
from agent.cluster import from_desired
from agent.journal import Authority
from agent.postgres import Postgres
from agent.report import Facts, Refusal
from agent.retired import FILE
from agent.server import Server
from agent.unused import refuse_clients


def retirement(desired: Mapping[str, Any], server: Server) -> Facts:
    """Have the old server's PostgreSQL be stopped. Raises Refusal while somebody is connected, and lets clients in then as it did before."""
    postgres = Postgres(server, from_desired(desired["postgres"]), desired["address"])
    changed: List[str] = []
    if postgres.is_running():
        _close(postgres)
        server.write_json(FILE, {"retired": True})
        base_backup.starts_with_the_machine(server, postgres.cluster, starts=False)
        postgres.stop()
        changed.append(f"stopped PostgreSQL {postgres.cluster.version}, and disabled it")
    return {"changed": changed, "because": "nobody uses it any more" if changed else "it is stopped already"}


def _close(postgres: Postgres) -> None:
    """Nobody comes in any more, so that nobody is cut off who came between the last look and the stop. Raises Refusal.

    Whether it let clients in before is the journal's to say: a run that died may have left its rule on the disk.
    """
    own = journal.read(postgres.server)
    was_sealed = own is not None and own.authority in (Authority.SEALED, Authority.RELEASED)
    try:
        refuse_clients(postgres, 0)
        _seal(postgres, sealed=True)
        refuse_clients(postgres, 0)
    except Refusal:
        _seal(postgres, sealed=was_sealed)
        raise


def _seal(postgres: Postgres, sealed: bool) -> None:
    file = postgres.cluster.hba_file
    text = postgres.server.path(file).read_bytes().decode(errors="surrogateescape")
    put(postgres.server, file, with_seal(text, sealed))
    postgres.reload()
