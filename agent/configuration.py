"""DB_A's configuration: the old primary's settings and rules as it runs with them, minus what the new version no longer knows.

They are carried in `prepare`, again in `readonly` before anything is refused, and once more with the upgrade if they changed since
(docs/decisions/configuration.md).
"""

from __future__ import annotations

import base64
import json
from dataclasses import asdict, dataclass
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Set, Tuple

from agent.client_rules import LOCAL_ROLE, without_rehearsal, without_rules
from agent.cluster import Cluster
from agent.other_side import OtherSide
from agent.report import Refusal
from agent.server import STATE_FOLDER, Server

# What DB_A has of the old primary's configuration, as it was carried last: for root alone, as rules may hold passwords.
CARRIED_FILE = f"{STATE_FOLDER}/carried.json"
INCLUDE = "include_if_exists = 'pgleap.conf'"

# Where things are on that server, not how PostgreSQL behaves: each server keeps its own.
OF_THE_SERVER = {
    "config_file", "data_directory", "hba_file", "ident_file", "external_pid_file", "listen_addresses", "port",
    "unix_socket_directories", "cluster_name", "primary_conninfo", "primary_slot_name", "recovery_target_timeline",
    "archive_library",
}  # fmt: skip

# What was left from a recovery, or is of a standby alone: with one of them DB_A would stream, and not replay the fence. The last two name
# slots that DB_A does not have: what leads the stream back would wait for them for ever.
OF_A_RECOVERY = {
    "recovery_target", "recovery_target_action", "recovery_target_inclusive", "recovery_target_lsn", "recovery_target_name",
    "recovery_target_time", "recovery_target_xid", "recovery_min_apply_delay", "recovery_end_command", "restore_command",
    "archive_cleanup_command", "promote_trigger_file", "trigger_file", "standby_mode", "hot_standby", "sync_replication_slots",
    "synchronized_standby_slots",
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
    """Read it over the role pgleap; Debian's configuration files are in no base backup. Raises Refusal over rules that cannot be told."""
    told = json.loads(
        other.ask(
            f"SELECT json_build_object('settings', (SELECT coalesce(json_agg(s), '[]') FROM {other.role}.settings() s),"
            f" 'rules', (SELECT row_to_json(r) FROM {other.role}.rules() r));"
        )
    )
    rules = told["rules"]
    if rules["edited"]:
        raise Refusal(
            f"the rules of {other.name} as it has read them",
            f"{' and '.join(rules['edited'])} edited since, so that nobody can tell what is in force",
            f"on {other.name}: sudo psql -U {LOCAL_ROLE} -p {other.port} -d postgres -c 'SELECT pg_reload_conf()' (put the file back before,"
            " if it is not to count); then run `pulumi up` again",
        )
    hba, ident = decoded(rules["hba"]), decoded(rules["ident"])
    elsewhere = rules_elsewhere(hba, ident)
    if elsewhere:
        raise Refusal(
            f"all rules of {other.name} in pg_hba.conf and pg_ident.conf themselves",
            "; ".join(elsewhere),
            "write what the other file holds into this one, reload, then run `pulumi up` again",
        )
    return carry(told["settings"], without_rules(without_rehearsal(hba)), without_rules(ident))


def decoded(shown: str) -> str:
    """A rule file as the function `rules` shows it: bytes that are no UTF-8 come back as they were when it is written. Pure."""
    return base64.b64decode(shown).decode(errors="surrogateescape")


def rules_elsewhere(hba: str, ident: str) -> List[str]:
    """Lines that lead to other files, which DB_A does not have: includes (16 and later), and names in a file of their own. Pure."""
    found = []
    for file, text in (("pg_hba.conf", hba), ("pg_ident.conf", ident)):
        for number, line in enumerate(text.split("\n"), 1):
            first, *fields = line.split("#", 1)[0].split() or [""]
            names = [name for field in fields[:2] for name in field.split(",")]
            if first in ("include", "include_if_exists", "include_dir") or any(name.startswith("@") for name in names):
                found.append(f"line {number} of {file}: {' '.join([first, *fields[:2]])}")
    return found


def carry(settings: Iterable[Mapping[str, Any]], hba: str, ident: str) -> Carried:
    """Sort out what travels. Pure."""
    left_behind = OF_THE_SERVER | OF_A_RECOVERY | set(ALWAYS_OURS) | OF_THE_SEAL
    by_file: Dict[str, str] = {}
    by_alter_system: Dict[str, str] = {}
    for row in settings:
        if row["name"] not in left_behind:
            (by_alter_system if row["by_alter_system"] else by_file)[row["name"]] = row["setting"]
    return Carried(by_file, by_alter_system, hba, ident)


def kept(server: Server) -> Optional[Carried]:
    """What DB_A was configured with last; None if nothing, or not wholly."""
    found = server.read_json(CARRIED_FILE)
    return Carried(**found) if found else None


def keep(server: Server, carried: Optional[Carried]) -> None:
    """Note what DB_A is configured with, once it is. None: from here on with something else, until it is noted."""
    content = json.dumps(asdict(carried) if carried is not None else {}, sort_keys=True)
    server.write_durably(CARRIED_FILE, content.encode(), mode=0o600)


def differences(before: Carried, now: Carried) -> List[str]:
    """What changed, by name: values may be secrets. Pure."""
    found = []
    was, is_now = ({**one.by_file, **one.by_alter_system} for one in (before, now))
    names = sorted(name for name in {*was, *is_now} if was.get(name) != is_now.get(name))
    if names:
        found.append(f"settings: {', '.join(names)}")
    moved = sorted(({*before.by_file} & {*now.by_alter_system}) | ({*before.by_alter_system} & {*now.by_file}))
    if moved:
        found.append(f"set elsewhere: {', '.join(moved)}")
    found += [
        f"rules: {file}"
        for file, old, new in (("pg_hba.conf", before.hba, now.hba), ("pg_ident.conf", before.ident, now.ident))
        if old != new
    ]
    return found


def refuse_drift(server: Server, other: OtherSide, again: str) -> None:
    """Raises Refusal if the old primary runs with another configuration than DB_A was given; `again` is the command that carries it."""
    before = kept(server)
    changed = differences(before, read_old_primary(other)) if before is not None else ["nothing was carried"]
    if changed:
        raise Refusal(
            f"the configuration of {other.name} as DB_A has it",
            f"changed since it was carried: {'; '.join(changed)}",
            f"names have not moved; this carries it again: {again}",
        )


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
    server: Server,
    cluster: Cluster,
    carried: Carried,
    own: Mapping[str, str],
    auto: Mapping[str, str],
    main_is_a_copy: bool = False,
) -> List[str]:
    """Write the cluster's settings: carried ones and `own` in pgleap.conf, ALTER SYSTEM's and `auto` in postgresql.auto.conf, which wins,
    and so has none that is `own`. A postgresql.conf that `main_is_a_copy` of the old primary's is left nothing else: what counts there is
    carried, and what does not (leftovers of a recovery, what waits for a restart) would count here.

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
        cluster.config_file: f"# all settings are pgleap's\n{INCLUDE}\n"
        if main_is_a_copy
        else text
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
