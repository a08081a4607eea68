"""The old replicas stay what they are: a verb that opens or promotes a database looks first whether one has become a primary.

One that cannot be asked keeps nobody waiting: it is named, and the names in the hosts files lead writes elsewhere.
"""

from __future__ import annotations

import json
from typing import Any, Dict, Iterator, Mapping, Tuple

from agent import advice
from agent.journal import Fence
from agent.other_side import OtherSide
from agent.postgres import Postgres
from agent.report import Refusal, progress

LOOK = "SELECT json_build_object('standby', pg_is_in_recovery(), 'xid', pg_snapshot_xmax(pg_current_snapshot())::text);"


def refuse_promoted(replicas: Mapping[str, str], postgres: Postgres) -> None:
    """Raises Refusal if one of `replicas` (name -> address) has left recovery: two databases would take writes."""
    for name, found in _seen(replicas, postgres):
        if not found["standby"]:
            raise Refusal(
                f"{name} an old replica, in recovery",
                "it has left recovery: somebody promoted it, and it can take writes",
                f"stop PostgreSQL on {name} and find out who wrote to it; then go on without it:"
                f" pulumi config set --path servers.{name}.lost true && {advice.UP}",
            )


def refuse_ahead(replicas: Mapping[str, str], postgres: Postgres, fence: Fence) -> None:
    """Raises Refusal if an old replica knows of transactions after the fence: the old primary took writes again before it was lost."""
    for name, found in _seen(replicas, postgres):
        if int(found["xid"]) > fence.xid:
            raise Refusal(
                f"no old replica to know of a transaction after the fence, id {fence.xid}",
                f"{name} knows of all before id {found['xid']}: the old primary took writes again after DB_A's fence",
                f"promote {name} by hand: it holds writes that DB_A does not",
            )


def _seen(replicas: Mapping[str, str], postgres: Postgres) -> Iterator[Tuple[str, Dict[str, Any]]]:
    """What each old replica that can be asked says of itself."""
    server, cluster = postgres.server, postgres.cluster
    for name, address in replicas.items():
        replica = OtherSide(server, name, address, cluster.port, cluster.program("psql"))
        if not server.connects(address, cluster.port):
            progress(
                f"{name} cannot be asked whether it is still a replica: nobody answers at {address}:{cluster.port}"
            )
            continue
        try:
            found = json.loads(replica.ask(LOOK))
        except Refusal as refused:
            progress(f"{name} cannot be asked whether it is still a replica: {refused.found}")
            continue
        yield name, found
