"""Verb `ready`: what must hold before writes are refused, looked at while there is still time. It changes nothing."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional

from agent import pg_upgrade, seal
from agent.client_rules import is_sealed
from agent.cluster import from_desired
from agent.postgres import Postgres, wait_until
from agent.report import Facts
from agent.server import Server
from agent.states import Phase


def ready(desired: Mapping[str, Any], server: Server) -> Facts:
    """Refuse to go on to `phase` over what would hurt. Only the way to readonly has something to check: the other moves start
    with writes refused, or give them back, and must not wait."""
    if Phase(desired["phase"]) is not Phase.READONLY:
        return {"changed": [], "because": f"the way to {desired['phase']} has nothing to wait for"}
    postgres = Postgres(server, from_desired(desired["postgres"]), desired["address"])
    if desired["side"] == "DB_A":
        checked = pg_upgrade.check_standby(
            server, postgres, from_desired(desired["newPostgres"]), desired["transferMode"]
        )
        return {"changed": [], "because": "pg_upgrade --check finds this standby upgradable", **checked}
    if is_sealed(server.path(postgres.cluster.hba_file).read_text()):
        return {"changed": [], "because": "writes are refused already: the check was made before that"}
    seal.refuse_other_writers(postgres)
    lag = _standbys_stream(postgres, desired["standbys"], int(desired["lagBytes"]), float(desired["lagSeconds"]))
    return {"changed": [], "because": "the standbys stream, and nothing but clients writes", "lag": lag}


def _standbys_stream(postgres: Postgres, standbys: Mapping[str, str], most: int, seconds: float) -> Dict[str, int]:
    """The lag in bytes of each standby (name -> address). Waits `seconds` for those behind. Raises Refusal."""
    lag: Dict[str, int] = {}

    def look() -> Optional[str]:
        rows = postgres.rows(
            "SELECT host(client_addr) AS address, state,"
            " pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)::bigint AS lag FROM pg_stat_replication"
        )
        wrong: List[str] = []
        for name, address in standbys.items():
            found = [row for row in rows if row["address"] == address and row["state"] == "streaming"]
            if not found:
                wrong.append(f"{name} ({address}) does not stream")
                continue
            lag[name] = min(int(row["lag"] or 0) for row in found)
            if lag[name] > most:
                wrong.append(f"{name} is {lag[name]} bytes behind")
        return "; ".join(wrong) or None

    wait_until(
        postgres.server,
        seconds,
        f"{' and '.join(standbys)} to stream at most {most} bytes behind",
        look,
        "wait until they do (a rebuild of DB_A may be under way: `pulumi up` in prepare with a higher round waits for it)",
    )
    return lag
