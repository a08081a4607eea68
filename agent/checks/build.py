"""What a cluster was made with and pg_upgrade cannot change: how its binaries were built, checksums, encodings."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

from agent.check_names import CheckName
from agent.checks.check import Check, Severity, Side, Unseen
from agent.checks.sight import Sight
from agent.checks.wording import few
from agent.cluster import Cluster

# A binary tells these of itself, and a server of its own (documentation, "Preset Options"); pg_upgrade compares them (its controldata.c).
BUILT_IN = ("block_size", "wal_block_size", "segment_size", "max_identifier_length", "max_index_keys")


def built(sight: Sight, cluster: Cluster, name: str) -> Optional[str]:
    """What the binary was built with, asked without a cluster. With -C first it reads only, whoever runs it (main.c)."""
    asked = sight.program(cluster.program("postgres"), "-C", name, "-D", "/", "-c", "config_file=/dev/null")
    return asked.stdout.strip() if asked.returncode == 0 else None


def _build(sight: Sight) -> List[str]:
    for cluster in (sight.old, sight.new):
        if not sight.is_installed(cluster):
            raise Unseen(f"PostgreSQL {cluster.version} is not installed here: {cluster.bin}")
    # A server that runs says it at once; each start of a binary takes 0.04 s of a processor.
    running = sight.settings() if sight.postgres.is_running() else {}
    found = []
    for name in BUILT_IN:
        old, new = running.get(name) or built(sight, sight.old, name), built(sight, sight.new, name)
        if old != new:
            found.append(f"{name} is {old} in {sight.old.bin}, and {new} in {sight.new.bin}")
    return found


def _checksums(sight: Sight) -> List[str]:
    if sight.settings().get("data_checksums") == "on":
        return []
    default = ", which a cluster of the new version has by default" if sight.new.version >= 18 else ""
    return [f"the cluster has no data checksums{default}; pgleap makes the new one without, as pg_upgrade wants it"]


def _encodings(sight: Sight) -> List[str]:
    rows = sight.rows(
        "SELECT d.datname, pg_encoding_to_char(d.encoding) AS encoding, d.datcollate, d.datctype,"
        " coalesce(to_jsonb(d)->>'datlocprovider', 'c') AS provider,"
        " coalesce(to_jsonb(d)->>'datlocale', to_jsonb(d)->>'daticulocale') AS locale FROM pg_database d ORDER BY d.oid"
    )
    template = next(row for row in rows if row["datname"] == "template0")
    found = []
    for row in rows:
        if row["encoding"] == "SQL_ASCII":
            found.append(f"{row['datname']} is in SQL_ASCII: bytes that no encoding vouches for")
        differs = _differences(row, template)
        if differs:
            found.append(f"{row['datname']} is not like template0: {differs}")
    return few(found)


def _differences(row: Dict[str, Any], template: Dict[str, Any]) -> str:
    names = {"encoding": "encoding", "datcollate": "LC_COLLATE", "datctype": "LC_CTYPE", "provider": "provider", "locale": "locale"}  # fmt: skip
    return ", ".join(
        f"{name} {row[key]} instead of {template[key]}" for key, name in names.items() if row[key] != template[key]
    )


CHECKS = (
    Check(
        name=CheckName.BUILD,
        severity=Severity.REFUSE,
        sides=(Side.TARGET,),
        why="pg_upgrade hands on files as they are, so both versions must be built alike",
        do="install packages of one source, built with the same options, for both versions",
        look=_build,
    ),
    Check(
        name=CheckName.CHECKSUMS,
        severity=Severity.NOTE,
        sides=(Side.OLD_PRIMARY,),
        why="pg_upgrade keeps checksums as they are",
        do="if they are wanted, run pg_checksums --enable on a replica that is stopped, switch to it, or do so after the upgrade",
        look=_checksums,
    ),
    Check(
        name=CheckName.ENCODINGS,
        severity=Severity.NOTE,
        sides=(Side.OLD_PRIMARY,),
        why="a database keeps its encoding and locale, whatever the new cluster was made with",
        do="see that DB_A and the new replicas have these locales (locale -a), and that clients of these databases know",
        look=_encodings,
    ),
)
