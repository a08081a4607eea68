"""DB_A's configuration: the old primary's settings and rules carried over, minus what the new version no longer knows."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Dict, Iterable, List, Mapping, Sequence, Set, Tuple

from agent.client_rules import without_rehearsal
from agent.cluster import Cluster
from agent.other_side import OtherSide
from agent.report import Refusal
from agent.server import Server

INCLUDE = "include_if_exists = 'pgleap.conf'"

# Where things are on that server, not how PostgreSQL behaves: each server keeps its own.
OF_THE_SERVER = {
    "config_file", "data_directory", "hba_file", "ident_file", "external_pid_file", "listen_addresses", "port",
    "unix_socket_directories", "cluster_name", "primary_conninfo", "primary_slot_name", "recovery_target_timeline",
    "archive_library",
}  # fmt: skip

# DB_A must not write into production's archive, nor wait for standbys that will not come (design.md).
ALWAYS_OURS = {
    "synchronous_standby_names": "",
    "archive_mode": "off",
    "archive_command": "",
    "listen_addresses": "*",
}

# What the seal sets on the old primary is no setting of the fleet's.
OF_THE_SEAL = {"default_transaction_read_only", "autovacuum"}


@dataclass(frozen=True)
class Carried:
    """The old primary's settings: those of its configuration files, those of ALTER SYSTEM, and its two rule files."""

    by_file: Dict[str, str]
    by_alter_system: Dict[str, str]
    hba: str
    ident: str


def read_old_primary(other: OtherSide) -> Carried:
    """Read it over the role pgleap; Debian's configuration files are in no base backup."""
    settings = json.loads(other.ask(f"SELECT coalesce(json_agg(s), '[]') FROM {other.role}.settings() s;"))
    rules = json.loads(other.ask(f"SELECT row_to_json(r) FROM {other.role}.rules() r;"))
    return carry(settings, without_rehearsal(rules["hba"]), rules["ident"])


def carry(settings: Iterable[Mapping[str, Any]], hba: str, ident: str) -> Carried:
    """Sort out what travels. Pure."""
    left_behind = OF_THE_SERVER | set(ALWAYS_OURS) | OF_THE_SEAL
    by_file: Dict[str, str] = {}
    by_alter_system: Dict[str, str] = {}
    for row in settings:
        if row["name"] not in left_behind:
            (by_alter_system if row["by_alter_system"] else by_file)[row["name"]] = row["setting"]
    return Carried(by_file, by_alter_system, hba, ident)


def unknown_settings(server: Server, cluster: Cluster, names: Sequence[str]) -> Set[str]:
    """Which settings this version's binary no longer knows. Names with a dot are an extension's and are kept.

    `--describe-config` leaves out developer options, so what it does not list is asked for one by one with `-C`.
    """
    described = server.run(cluster.program("postgres"), "--describe-config", user="postgres").stdout
    known = {line.split("\t", 1)[0] for line in described.splitlines()}
    gone = set()
    for name in names:
        if "." in name or name in known:
            continue
        asked = server.run(
            cluster.program("postgres"),
            "-D",
            cluster.config,
            "-c",
            "lc_messages=C",
            "-C",
            name,
            user="postgres",
            check=False,
        )
        if asked.returncode != 0 and "unrecognized configuration parameter" in asked.stderr:
            gone.add(name)
    return gone


def split_known(carried: Carried, gone: Set[str]) -> Tuple[Carried, Dict[str, str]]:
    """What the version knows, and what is dropped for it. Pure."""
    dropped = {
        name: value
        for part in (carried.by_file, carried.by_alter_system)
        for name, value in part.items()
        if name in gone
    }
    return (
        Carried(
            {name: value for name, value in carried.by_file.items() if name not in gone},
            {name: value for name, value in carried.by_alter_system.items() if name not in gone},
            carried.hba,
            carried.ident,
        ),
        dropped,
    )


def render(heading: str, settings: Mapping[str, str]) -> str:
    """Settings in postgresql.conf's form. Pure."""
    lines = [f"# {heading}\n"]
    for name in sorted(settings):
        value = settings[name].replace("\\", "\\\\").replace("'", "''")
        lines.append(f"{name} = '{value}'\n")
    return "".join(lines)


def parsed(text: str) -> Dict[str, str]:
    """The settings in a file that `render` made; of two the last one counts. Pure."""
    pairs = (line.partition(" = ") for line in text.splitlines() if not line.startswith("#") and " = " in line)
    return {name: value[1:-1].replace("''", "'").replace("\\\\", "\\") for name, _, value in pairs}


def write(
    server: Server, cluster: Cluster, carried: Carried, own: Mapping[str, str], auto: Mapping[str, str]
) -> List[str]:
    """Write the cluster's settings: carried ones and `own` in pgleap.conf, ALTER SYSTEM's and `auto` in postgresql.auto.conf, which wins,
    and so has none that is `own`.

    Rule files are written by whoever knows whether the cluster is sealed. Raises Refusal if the cluster has no postgresql.conf.
    """
    main = server.path(cluster.config_file)
    if not main.exists():
        raise Refusal(f"the file {cluster.config_file}", "none", "see that the cluster was created there")
    owner = server.owner("postgres")
    changed = []
    text = main.read_text()
    by_alter_system = {name: value for name, value in carried.by_alter_system.items() if name not in own}
    files = {
        cluster.config_file: text
        if INCLUDE in text
        else f"{text.rstrip()}\n\n# pgleap's settings, last so that they win\n{INCLUDE}\n",
        cluster.own_config_file: render(
            "carried over from the old primary by pgleap", {**carried.by_file, **ALWAYS_OURS, **own}
        ),
        cluster.auto_config_file: render("Do not edit this file manually!", {**by_alter_system, **auto}),
    }
    for file, wanted in files.items():
        path = server.path(file)
        if not path.exists() or path.read_text() != wanted:
            server.write_durably(
                file, wanted.encode(), owner=owner, mode=0o640 if file != cluster.auto_config_file else 0o600
            )
            changed.append(f"wrote {file}")
    return changed
