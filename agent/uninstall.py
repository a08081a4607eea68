"""Verb `uninstall`: everything of pgleap's is taken away from a server, and what pgleap did not make stays.

From a finished prepare: there the old primary is open, the hosts files are as they were, and DB_A serves nobody. Or from a finished
retire: DB_A and the new replicas are the fleet then, and stay as they are, as do the hosts files. It can be run again after it
stopped half-way; the agent itself goes last.
"""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import Any, Dict, List, Mapping, Tuple

from agent import (
    access,
    client_rules,
    functions,
    hosts_file,
    journal,
    new_cluster,
    new_replica,
    offline_tasks,
    short_locks,
    statistics,
)
from agent.client_rules import LOCAL_ROLE, READER
from agent.cluster import Cluster, from_desired
from agent.detached import Run
from agent.install import INSTALLED
from agent.journal import Authority
from agent.own_names import SLOT
from agent.postgres import Postgres
from agent.report import Facts, Refusal, progress
from agent.server import STATE_FOLDER, Server
from agent.states import Phase, Verb
from agent.target import UpgradeTarget, read_target

# What the journal says where pgleap can be taken away, by part: from a finished prepare, and from a finished retire.
EXPECTED: Dict[str, Tuple[Tuple[Phase, Authority], Tuple[Phase, Authority]]] = {
    "old primary": ((Phase.PREPARE, Authority.HOLDS), (Phase.RETIRE, Authority.RELEASED)),
    "old replica": ((Phase.PREPARE, Authority.NONE), (Phase.RETIRE, Authority.NONE)),
    "new replica": ((Phase.PREPARE, Authority.NONE), (Phase.RETIRE, Authority.NONE)),
    "DB_A": ((Phase.PREPARE, Authority.NONE), (Phase.RETIRE, Authority.HOLDS)),
}
GO_BACK = "go back to prepare first: python -m scripts.window --back"
FINISH = "finish it first: pulumi up"


def uninstall(desired: Mapping[str, Any], server: Server) -> Facts:
    """Take away what pgleap made on this server, by its `part`: "old primary", "old replica", "DB_A", "new replica" or "client".

    `user` is SSH's, to whose home the agent was delivered. Raises Refusal before anything is touched if the fleet has not finished
    `phase`, prepare or retire, as far as this server knows.
    """
    part, retired = desired["part"], Phase(desired["phase"]) is Phase.RETIRE
    if part == "client":
        _refuse_managed(server, retired)
        changed = []
    else:
        # What an old replica remembers of the old primary is no phase.
        _refuse_unless_finished(server, *EXPECTED[part][retired], has_journal=part != "old replica")
        changed = _leave_retired(desired, server) if retired else _leave_prepared(desired, server)
    changed += _take_away_files(server, str(Path(f"~{desired['user']}").expanduser()))
    return {"changed": changed, "because": "nothing of pgleap's is to stay"}


def _leave_prepared(desired: Mapping[str, Any], server: Server) -> List[str]:
    """What pgleap made of DB_A and of the new replicas goes."""
    part = desired["part"]
    if part == "DB_A":
        return take_away_target(read_target(desired, server))
    postgres = Postgres(server, from_desired(desired["postgres"]), desired["address"])
    return new_replica.take_away(postgres) if part == "new replica" else _leave(postgres, part == "old primary")


def _leave_retired(desired: Mapping[str, Any], server: Server) -> List[str]:
    """The new databases stay, without pgleap's rules and roles; the old ones are stopped."""
    cluster = from_desired(desired["newPostgres" if desired["part"] == "DB_A" else "postgres"])
    postgres = Postgres(server, cluster, desired["address"])
    if desired["part"] in ("DB_A", "new replica"):
        return _leave(postgres, desired["part"] == "DB_A")
    return _take_away_rules(server, cluster) if server.path(cluster.hba_file).exists() else []


def _refuse_managed(server: Server, retired: bool) -> None:
    if server.read_json(hosts_file.RECORD) and not retired:
        raise Refusal("a hosts file as it was before pgleap", "pgleap still manages it", GO_BACK)
    held = sorted(server.read_json(offline_tasks.RECORD))
    if held:
        raise Refusal("tasks that pgleap does not hold", f"it holds {', '.join(held)}", GO_BACK)


def _refuse_unless_finished(server: Server, phase: Phase, authority: Authority, has_journal: bool) -> None:
    """Replicas have no journal of phases."""
    own = journal.read(server) if has_journal else None
    if own is not None and (own.phase, own.finished, own.authority) != (phase, True, authority):
        state = f"{own.phase} {'finished' if own.finished else 'unfinished'}, authority: {own.authority.value}"
        raise Refusal(
            f"{phase} finished, authority: {authority.value}", state, FINISH if phase is Phase.RETIRE else GO_BACK
        )
    for verb in (Verb.UPGRADE_TARGET, Verb.NEW_REPLICA):
        if Run(server, verb.value).is_under_way():
            raise Refusal(
                "no work under way on this server",
                "its database is being built",
                "wait for it: scripts/status shows it",
            )


def _leave(postgres: Postgres, is_primary: bool) -> List[str]:
    """A database that goes on: rules, and a primary's roles, go. It is left as its own rules have it."""
    server, cluster = postgres.server, postgres.cluster
    superuser = postgres.as_superuser()
    without = superuser.answers()
    if without is not None:
        raise Refusal(
            f"the operating system's postgres to come in as {cluster.superuser}, by the fleet's own rules",
            without,
            f"start PostgreSQL, or let it in in {cluster.hba_file}; nothing was changed",
        )
    if access.is_sealed(server, cluster):
        raise Refusal("a database that is not sealed", f"{cluster.hba_file} refuses clients", GO_BACK)
    changed = _drop_roles(superuser) if is_primary else []
    rules = _take_away_rules(server, cluster)
    if rules:
        superuser.reload()
    return changed + rules


def _drop_roles(superuser: Postgres) -> List[str]:
    slot = superuser.rows(f"SELECT active FROM pg_replication_slots WHERE slot_name = '{SLOT}'")
    if slot and slot[0]["active"]:
        raise Refusal(
            f"nobody to stream from the slot {SLOT}",
            "DB_A still does",
            "run scripts/uninstall, which takes DB_A away first",
        )
    statements = {
        f"dropped the slot {SLOT}": f"SELECT pg_drop_replication_slot('{SLOT}');" if slot else "",
        f"dropped the roles {READER} and {LOCAL_ROLE}": f"DROP ROLE IF EXISTS {READER}; DROP ROLE IF EXISTS {LOCAL_ROLE};",
    }
    # The functions belong to the role, which can go only without them.
    functions.drop(superuser)
    for sql in filter(None, statements.values()):
        short_locks.execute(superuser, sql)
    return ["dropped the schema pgleap", *(what for what, sql in statements.items() if sql)]


def _take_away_rules(server: Server, cluster: Cluster) -> List[str]:
    changed = []
    for file in (cluster.hba_file, cluster.ident_file):
        text = server.path(file).read_bytes().decode(errors="surrogateescape")
        without = client_rules.without_rules(text)
        if without != text:
            access.put(server, file, without)
            changed.append(f"took pgleap's lines out of {file}")
    return changed


def take_away_target(target: UpgradeTarget) -> List[str]:
    """DB_A: both clusters, which pgleap made. One that it did not make is not touched."""
    server, old = target.server, target.old.cluster
    if not target.progress():
        return []
    progress("taking DB_A's clusters away")
    server.run("systemctl", "stop", statistics.UNIT, check=False)
    server.run("systemctl", "reset-failed", statistics.UNIT, check=False)
    made, folders = _tablespaces(target), [server.path(folder) for folder in target.made_folders()]
    target.old.stop()
    new_cluster.remove(target)
    if old.layout == "debian":
        server.run("pg_dropcluster", str(old.version), old.name, check=False)
    else:
        server.run("systemctl", "disable", old.unit, check=False)
    for folder in [*made, *(server.path(one) for one in sorted({old.data, old.config}))]:
        if folder.exists():
            shutil.rmtree(folder)
    for folder in folders:
        with contextlib.suppress(OSError):  # somebody else's files lie in it by now
            folder.rmdir()
    return [f"took away the clusters of PostgreSQL {old.version} and {target.new.cluster.version}"]


def _tablespaces(target: UpgradeTarget) -> List[Path]:
    """What the two versions made in the tablespaces' folders; the folders themselves may be mount points."""
    links = target.server.path(f"{target.old.cluster.data}/pg_tblspc")
    versions = (target.old.cluster.version, target.new.cluster.version)
    return [
        made
        for link in (sorted(links.iterdir()) if links.exists() else [])
        for version in versions
        for made in link.resolve().glob(f"PG_{version}_*")
    ]


def _take_away_files(server: Server, home: str) -> List[str]:
    changed = []
    delivered = sorted(server.path(home).glob(".pgleap-agent-*.pyz"))
    for path in [server.path(STATE_FOLDER), server.path(str(Path(INSTALLED).parent)), *delivered]:
        changed += _take_away(path)
    return changed


def _take_away(path: Path) -> List[str]:
    if path.is_dir():
        shutil.rmtree(path)
    elif path.exists():
        path.unlink()
    else:
        return []
    return [f"took away {path}"]
