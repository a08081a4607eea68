"""Verb `uninstall`: everything of pgleap's is taken away from a server, and what pgleap did not make stays.

Only from a finished prepare: there the old primary is open, the hosts files are as they were, and DB_A serves nobody. It can be
run again after it stopped half-way; the agent itself goes last.
"""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import Any, List, Mapping

from agent import client_rules, functions, hosts_file, journal, new_cluster, offline_tasks, statistics
from agent.client_rules import LOCAL_ROLE, READER
from agent.cluster import Cluster, from_desired
from agent.detached import Run
from agent.install import INSTALLED
from agent.journal import Authority
from agent.postgres import Postgres
from agent.report import Facts, Refusal, progress
from agent.server import STATE_FOLDER, Server
from agent.states import Phase, Verb
from agent.target import SLOT, UpgradeTarget, read_target

GO_BACK = "go back to prepare first: pulumi config set phase prepare, raise the round, pulumi up"


def uninstall(desired: Mapping[str, Any], server: Server) -> Facts:
    """Take away what pgleap made on this server, by its `part`: "old primary", "old replica", "DB_A" or "client".

    `user` is SSH's, to whose home the agent was delivered. Raises Refusal before anything is touched if the fleet is not in a
    finished prepare, as far as this server knows.
    """
    part, changed = desired["part"], []
    if part == "client":
        _refuse_managed(server)
    else:
        _refuse_unless_prepared(server, Authority.HOLDS if part == "old primary" else Authority.NONE)
    if part == "DB_A":
        changed += _take_away_target(read_target(desired, server))
    elif part != "client":
        changed += _leave(
            Postgres(server, from_desired(desired["postgres"]), desired["address"]), part == "old primary"
        )
    changed += _take_away_files(server, str(Path(f"~{desired['user']}").expanduser()))
    return {"changed": changed, "because": "nothing of pgleap's is to stay"}


def _refuse_managed(server: Server) -> None:
    if server.read_json(hosts_file.RECORD):
        raise Refusal("a hosts file as it was before pgleap", "pgleap still manages it", GO_BACK)
    held = sorted(server.read_json(offline_tasks.RECORD))
    if held:
        raise Refusal("tasks that pgleap does not hold", f"it holds {', '.join(held)}", GO_BACK)


def _refuse_unless_prepared(server: Server, authority: Authority) -> None:
    """An old replica has no journal."""
    own = journal.read(server)
    if own is not None and (own.phase, own.finished, own.authority) != (Phase.PREPARE, True, authority):
        state = f"{own.phase} {'finished' if own.finished else 'unfinished'}, authority: {own.authority.value}"
        raise Refusal(f"prepare finished, authority: {authority.value}", state, GO_BACK)
    if Run(server, Verb.UPGRADE_TARGET.value).is_under_way():
        raise Refusal(
            "no work under way on DB_A", "its database is being built", "wait for it: scripts/status shows it"
        )


def _leave(postgres: Postgres, is_primary: bool) -> List[str]:
    """The old primary or an old replica: rules and roles go. It is left as its own rules have it."""
    server, cluster = postgres.server, postgres.cluster
    superuser = postgres.as_superuser()
    without = superuser.answers()
    if without is not None:
        raise Refusal(
            f"the operating system's postgres to come in as {cluster.superuser}, by the fleet's own rules",
            without,
            f"start PostgreSQL, or let it in in {cluster.hba_file}; nothing was changed",
        )
    if client_rules.is_sealed(server.path(cluster.hba_file).read_text()):
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
        superuser.execute(sql)
    return ["dropped the schema pgleap", *(what for what, sql in statements.items() if sql)]


def _take_away_rules(server: Server, cluster: Cluster) -> List[str]:
    changed = []
    for file in (cluster.hba_file, cluster.ident_file):
        text = server.path(file).read_bytes().decode(errors="surrogateescape")
        without = client_rules.without_rules(text)
        if without != text:
            server.write_durably(file, without.encode(errors="surrogateescape"))
            changed.append(f"took pgleap's lines out of {file}")
    return changed


def _take_away_target(target: UpgradeTarget) -> List[str]:
    """DB_A: both clusters, which pgleap made. One that it did not make is not touched."""
    server, old = target.server, target.old.cluster
    if not target.progress():
        return []
    progress("taking DB_A's clusters away")
    server.run("systemctl", "stop", statistics.UNIT, check=False)
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
