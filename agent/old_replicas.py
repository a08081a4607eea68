"""The old replicas stay what they are: a verb that opens or promotes a database looks first whether one has become a primary.

One that cannot be asked keeps nobody waiting: it is named, and the names in the hosts files lead writes elsewhere.
"""

from __future__ import annotations

import json
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Tuple

from agent import advice
from agent.client_rules import READER
from agent.journal import Fence
from agent.other_side import OtherSide
from agent.postgres import Postgres
from agent.report import Refusal, progress

LOOK = (
    "SELECT json_build_object('standby', pg_is_in_recovery(), 'xid', pg_snapshot_xmax(pg_current_snapshot())::text,"
    f" 'held', shobj_description(to_regrole('{READER}'), 'pg_authid'));"
)
HELD = "the old primary holds the authority in epoch "


def tell(postgres: Postgres, epoch: int) -> None:
    """On the old primary, before the first client comes in again: should it die, every replica that has a client's write has this too, and
    tells a DB_A that still remembers a fence. It waits for no replica."""
    postgres.execute(f"SET synchronous_commit = local; COMMENT ON ROLE {READER} IS '{HELD}{epoch}';", writing=True)


def refuse_promoted(replicas: Mapping[str, str], postgres: Postgres) -> None:
    """Raises Refusal if one of `replicas` (name -> address) has left recovery: two databases would take writes."""
    _unpromoted(replicas, postgres)


def refuse_newer(replicas: Mapping[str, str], postgres: Postgres) -> None:
    """The same on the old primary. Raises Refusal also if a replica knows of transactions that this database does not."""
    seen = _unpromoted(replicas, postgres)
    next_xid = int(postgres.value("pg_snapshot_xmax(pg_current_snapshot())")) if seen else 0
    for name, found in seen:
        if int(found["xid"]) > next_xid:
            raise Refusal(
                f"no old replica to know of a transaction that this database does not, from id {next_xid} on",
                f"{name} knows of all before id {found['xid']}: the data here is older, as if restored from an older image",
                f"promote {name} by your own means: it holds acknowledged writes that this server does not; this one is to be made anew",
            )


def refuse_held_again(replicas: Mapping[str, str], postgres: Postgres, known: int) -> None:
    """Before DB_A opens without the old primary: raises Refusal if that held the authority again in a later epoch than DB_A knows of."""
    for name, found in _seen(replicas, postgres):
        held = str(found.get("held") or "").rpartition(" ")[2]
        if held.isdigit() and int(held) > known:
            raise Refusal(
                f"no old replica to know of a later epoch of the old primary's than {known}, the last that DB_A knows of",
                f"{name} knows of epoch {held}: the old primary took writes again after DB_A's fence",
                f"promote {name} by hand: it holds writes that DB_A does not",
            )


def _unpromoted(replicas: Mapping[str, str], postgres: Postgres) -> List[Tuple[str, Dict[str, Any]]]:
    seen = list(_seen(replicas, postgres))
    for name, found in seen:
        if not found["standby"]:
            raise Refusal(
                f"{name} an old replica, in recovery",
                "it has left recovery: somebody promoted it, and it can take writes",
                f"stop PostgreSQL on {name} and find out who wrote to it; then go on without it:"
                f" pulumi config set --path servers.{name}.lost true && {advice.UP}",
            )
    return seen


def refuse_promoted_or_ahead(replicas: Mapping[str, str], postgres: Postgres, fence: Fence) -> None:
    """The same, and as `refuse_ahead`, in one look at each: writes are refused meanwhile."""
    _refuse_ahead(_unpromoted(replicas, postgres), fence)


def refuse_ahead(replicas: Mapping[str, str], postgres: Postgres, fence: Fence) -> None:
    """Raises Refusal if an old replica knows of transactions after the fence: the old primary took writes again, or DB_A opened (see
    older_image) and is of an older image."""
    _refuse_ahead(_seen(replicas, postgres), fence)


def _refuse_ahead(seen: Iterable[Tuple[str, Dict[str, Any]]], fence: Fence) -> None:
    for name, found in seen:
        if int(found["xid"]) > fence.xid:
            raise Refusal(
                f"no old replica to know of a transaction after the fence, id {fence.xid}",
                f"{name} knows of all before id {found['xid']}: the old primary took writes again after DB_A's fence, or DB_A had opened, and"
                " was restored from an older image",
                f"promote {name} by hand: it holds writes that DB_A does not",
            )


def refuse_own_ahead(postgres: Postgres, fence: Fence) -> None:
    """On a DB_A that is a standby still: raises Refusal if it has itself replayed transactions after the fence that it remembers."""
    next_xid = int(postgres.value("pg_snapshot_xmax(pg_current_snapshot())"))
    if next_xid > fence.xid:
        raise Refusal(
            f"nothing replayed here after the fence, transaction id {fence.xid}",
            f"DB_A knows of all before id {next_xid}: the old primary took writes again after that fence, and nobody knows how many",
            "promote by hand the replica that has most; DB_A cannot tell how much it lacks",
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
