"""The empty cluster of the new version on DB_A, made to match the old one so that pg_upgrade can fill it."""

from __future__ import annotations

import json
import shutil
from typing import Dict, List

from agent import configuration, trial_cluster
from agent.cluster import ONLY_AS_TOLD, OS_USER
from agent.configuration import Carried
from agent.pg_upgrade import NEW_PORT
from agent.postgres import Postgres
from agent.report import Refusal
from agent.target import UpgradeTarget


def make(target: UpgradeTarget, carried: Carried) -> Dict[str, str]:
    """Make it afresh; the settings that the new version no longer knows, with their values."""
    remove(target)
    server, new = target.server, target.new.cluster
    _refuse_foreign(target)
    # Before anything of it is there: a run that dies from here on leaves a cluster that is known to be ours to take away.
    target.note(newCluster="under way")
    options = initdb_options(target.old, new.version)
    if new.layout == "debian":
        server.run(
            "pg_createcluster",
            *ONLY_AS_TOLD,
            "--datadir",
            new.data,
            "--port",
            str(NEW_PORT),
            "--start-conf",
            "manual",
            str(new.version),
            new.name,
            "--",
            *options,
            timeout=120,
        )
    else:
        uid, gid = server.owner(OS_USER)
        server.run("install", "-d", "-m", "0700", "-o", str(uid), "-g", str(gid), new.data)
        server.run(new.program("initdb"), "--pgdata", new.data, *options, user=OS_USER, timeout=120)
    dropped = configure(target, carried)
    target.note(newCluster="fresh")
    return dropped


def configure(target: UpgradeTarget, carried: Carried) -> Dict[str, str]:
    """Give it the old primary's configuration; the settings that it no longer knows, with their values. It does not run."""
    server, new = target.server, target.new.cluster
    names = [*carried.by_file, *carried.by_alter_system]
    known, dropped = configuration.split_known(carried, configuration.unknown_settings(server, new, names))
    configuration.write(server, new, known, {"port": str(new.port), **target.own_settings}, auto={})
    # The binary reads the whole configuration here: what it refuses is found now and not in the window.
    server.run(new.program("postgres"), "-D", new.config, "-C", "port", user=OS_USER)
    target.write_sealed_rules(new, known)
    target.note(dropped=json.dumps(dropped))
    return dropped


def _refuse_foreign(target: UpgradeTarget) -> None:
    """A cluster that pgleap did not make is not ours to take away. What pg_dropcluster left of one is none. Raises Refusal."""
    new = target.new.cluster
    for file in (f"{new.data}/PG_VERSION", new.config_file):
        if target.server.path(file).exists():
            raise Refusal(
                f"no cluster of PostgreSQL {new.version} on DB_A",
                f"one that pgleap did not make, with {file}",
                "see whose it is; if nobody's, take it away (Debian: pg_dropcluster --stop), then run `pulumi up` again",
            )


def remove(target: UpgradeTarget) -> None:
    """Take the new version's cluster away, if pgleap made one, and what a schema trial left."""
    new = target.new.cluster
    trial_cluster.clear(target.server, new)
    if not target.progress().get("newCluster"):
        return
    target.new.stop()
    if new.layout == "debian":
        target.server.run("pg_dropcluster", str(new.version), new.name, check=False)
    for folder in {new.data, new.config}:
        path = target.server.path(folder)
        if path.exists():
            shutil.rmtree(path)


def initdb_options(old: Postgres, version: int) -> List[str]:
    """initdb's options for a cluster like the old one, read from it: 18 turns checksums on by default, others do not."""
    row = old.row("SELECT * FROM pg_database WHERE datname = 'template0'")
    segment = int(old.row("SELECT setting FROM pg_settings WHERE name = 'wal_segment_size'")["setting"]) // (
        1024 * 1024
    )
    options = [
        f"--username={old.cluster.superuser}",
        f"--encoding={old.value('pg_encoding_to_char(' + str(row['encoding']) + ')')}",
        f"--lc-collate={row['datcollate']}",
        f"--lc-ctype={row['datctype']}",
        f"--wal-segsize={segment}",
    ]
    provider = {"i": "icu", "b": "builtin"}.get(row.get("datlocprovider", "c"), "libc")
    locale = row.get("datlocale") or row.get("daticulocale")
    if provider != "libc":
        options += [f"--locale-provider={provider}", f"--{'icu' if provider == 'icu' else 'builtin'}-locale={locale}"]
    if old.value("current_setting('data_checksums')") == "on":
        options.append("--data-checksums")
    elif version >= 18:
        options.append("--no-data-checksums")
    return options
