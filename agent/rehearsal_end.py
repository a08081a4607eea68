"""Verb `rehearsal-end`: what a rehearsal made on a server is taken away, by `pulumi destroy`; what it did not make stays.

By `side`: "DB_A" first, then "old primary", then, without one, the program and the folder. It can be run again after it stopped half-way.
"""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import Any, List, Mapping

from agent import functions, journal, rehearsal_guard, short_locks, uninstall
from agent.client_rules import REHEARSAL
from agent.cluster import from_desired
from agent.configuration import CARRIED_FILE
from agent.detached import Run
from agent.journal import JOURNAL_FILE
from agent.postgres import Postgres
from agent.rehearsal import DELIVERED, INSTALLED
from agent.rehearsal_credentials import write_rules
from agent.rehearsal_install import FILE as INSTALL_FILE
from agent.report import Facts
from agent.server import STATE_FOLDER, Server
from agent.states import Verb
from agent.target import TARGET_FILE, read_target


def rehearsal_end(desired: Mapping[str, Any], server: Server) -> Facts:
    """Take away what the rehearsal made. Raises Refusal."""
    side = desired.get("side")
    if side == "DB_A":
        changed = _end_target(server)
    elif side == "old primary":
        changed = _end_primary(Postgres(server, from_desired(desired["postgres"]), desired["address"]).as_superuser())
    else:
        changed = _end_program(server)
    return {"changed": changed, "because": "nothing of the rehearsal is to stay"}


def _end_target(server: Server) -> List[str]:
    """Both clusters, as the last run was asked for them; none if there was no run, for then nothing was made."""
    run = Run(server, Verb.REHEARSAL_TARGET.value)
    server.run("systemctl", "stop", run.unit, check=False)
    asked = server.read_json(run.request_file)
    changed = uninstall.take_away_target(read_target(asked, server, rehearsal=True)) if asked else []
    for file in (TARGET_FILE, CARRIED_FILE, run.request_file, JOURNAL_FILE):
        server.path(file).unlink(missing_ok=True)
    return changed


def _end_primary(postgres: Postgres) -> List[str]:
    """Guard, slot, role, functions, rules. If nothing was made, nothing is asked: PostgreSQL may not even run."""
    server = postgres.server
    if journal.read(server) is None:
        return []
    rehearsal_guard.end(server)
    changed = rehearsal_guard.drop_slot(postgres)
    functions.drop_for_rehearsal(postgres)
    short_locks.execute(postgres, f"DROP ROLE IF EXISTS {REHEARSAL};")
    changed += [f"dropped the role {REHEARSAL} and its functions", *write_rules(postgres, "")]
    server.path(JOURNAL_FILE).unlink(missing_ok=True)
    return changed


def _end_program(server: Server) -> List[str]:
    """Last of all: this program itself."""
    home = server.read_json(INSTALL_FILE).get("folder")
    for delivered in Path(home).glob(DELIVERED) if home else ():
        delivered.unlink()
    for folder in (server.path(STATE_FOLDER), server.path(INSTALLED).parent):
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(folder)
    return ["took the rehearsal's program away"]
