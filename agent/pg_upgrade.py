"""pg_upgrade itself: its command line, its check against a running standby, its reports made readable."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Dict, List, Optional, Tuple

from agent import session_settings
from agent.cluster import OS_USER, SOCKET_FOLDER, Cluster
from agent.postgres import BYTES, Postgres
from agent.report import Facts, Refusal, progress
from agent.server import STATE_FOLDER, Server

WORK_FOLDER = f"{STATE_FOLDER}/pg_upgrade"
UPGRADE_HBA = f"{STATE_FOLDER}/pg_upgrade_hba.conf"
# pg_upgrade starts both servers without TCP, on a socket in its own folder; only the operating system's postgres gets in, whatever the
# superuser is called.
UPGRADE_HBA_RULES = "local all all peer map=pg_upgrade\n"
CHECK_SECONDS = 300
NEW_PORT = 50432  # pg_upgrade's own default; only its private socket is named after it


def ident_file() -> str:
    """Beside UPGRADE_HBA: who the operating system's postgres may be in it."""
    return f"{UPGRADE_HBA[: -len('hba.conf')]}ident.conf"


def command(server: Server, old: Cluster, new: Cluster, transfer_mode: str, jobs: int, check: bool) -> List[str]:
    """pg_upgrade's command line. Debian keeps postgresql.conf apart from the data, so both servers are told where theirs is."""
    argv = [
        new.program("pg_upgrade"),
        f"--old-bindir={old.bin}", f"--new-bindir={new.bin}", f"--old-datadir={old.data}", f"--new-datadir={new.data}",
        f"--old-port={old.port}", f"--new-port={NEW_PORT}", f"--username={old.superuser}", f"--{transfer_mode}", f"--jobs={jobs}", "--retain",
    ]  # fmt: skip
    for option, cluster in (("--old-options", old), ("--new-options", new)):
        rules = f"-c hba_file={server.place(UPGRADE_HBA)} -c ident_file={server.place(ident_file())}"
        argv.append(f"{option}=-c config_file={cluster.config_file} {rules}")
    argv += sync_method(new.version, server.kernel())
    return [*argv, "--check"] if check else argv


def environment(old: Cluster) -> Dict[str, str]:
    """What pg_upgrade and the programs that it starts find: it hands PGOPTIONS on (option.c, parseCommandLine). What the old cluster's
    databases and roles set neither ends its questions nor fires in its logins."""
    return {"PGOPTIONS": session_settings.options(session_settings.pg_upgrades(old.version)), **BYTES}


def sync_method(new_version: int, kernel: Tuple[int, int]) -> List[str]:
    """How pg_upgrade has the new cluster written to disk before it ends: by file system, where it can be told to (17) and the kernel
    reports what it could not write (5.8); else file by file, which takes 4 s for 22 databases (PostgreSQL documentation,
    recovery_init_sync_method)."""
    return ["--sync-method=syncfs"] if new_version >= 17 and kernel >= (5, 8) else []


def prepare_folder(server: Server, name: str, superuser: str = "postgres") -> str:
    """A folder for one run, owned by postgres: pg_upgrade writes its logs and sockets where it stands. Kept for ever."""
    folder = server.place(f"{WORK_FOLDER}/{name}")
    path = server.path(folder)
    path.mkdir(parents=True, exist_ok=True)
    uid, gid = server.owner(OS_USER)
    for each in (path.parent, path):
        server.run("chown", f"{uid}:{gid}", str(each))
        each.chmod(0o700)
    identities = f'pg_upgrade {OS_USER} "{superuser}"\n'
    for file, text in ((ident_file(), identities), (UPGRADE_HBA, UPGRADE_HBA_RULES)):
        server.write_durably(file, text.encode(), mode=0o640, owner=(uid, gid))
    return folder


def check_standby(server: Server, old: Postgres, new: Cluster, transfer_mode: str) -> Facts:
    """Run `pg_upgrade --check` against the standby as it streams (tried, 15 -> 17). Raises Refusal with its reports.

    One at a time: preflight, `ready` and the making of DB_A all do it, and it writes its logs into the new cluster's data directory.
    """
    with server.only_one("pg_upgrade-check", patience=CHECK_SECONDS):
        folder = prepare_folder(server, "check", old.cluster.superuser)
        progress("pg_upgrade --check against the running standby")
        began = server.monotonic()
        done = server.run(
            *command(server, old.cluster, new, transfer_mode, 1, check=True), "--socketdir", SOCKET_FOLDER,
            user=OS_USER, folder=folder, check=False, timeout=CHECK_SECONDS, environment=environment(old.cluster),
        )  # fmt: skip
        if done.returncode != 0:
            raise refusal(server, new, folder, done.stdout + done.stderr)
        keep_logs(server, new, folder)
        return {"pg_upgrade --check seconds": round(server.monotonic() - began, 2)}


def keep_logs(server: Server, new: Cluster, folder: str) -> str:
    """Move what pg_upgrade left in the new cluster to its run's folder: a cluster made again must not take its logs away."""
    left, kept = server.path(f"{new.data}/pg_upgrade_output.d"), f"{folder}/pg_upgrade_output.d"
    if left.exists():
        shutil.copytree(left, server.path(kept), dirs_exist_ok=True)
        shutil.rmtree(left)
    return kept


def refusal(server: Server, new: Cluster, folder: str, said: str) -> Refusal:
    """What pg_upgrade said and what its report files list, as one refusal."""
    # A run that ended before it wrote any must not be told with the reports of one before it.
    has_reports = server.path(f"{new.data}/pg_upgrade_output.d").exists()
    kept = keep_logs(server, new, folder)
    reports = reports_of(server.path(kept)) if has_reports else {}
    listed = "; ".join(f"{name}: {', '.join(lines)}" for name, lines in reports.items())
    fatal = [
        line.strip() for line in said.splitlines() if line.strip() and not re.search(r"\b(ok|done)$", line.strip())
    ]
    return Refusal(
        "pg_upgrade to find the cluster upgradable",
        " ".join(fatal)[-3000:] + (f" -- {listed}" if listed else ""),
        f"mend what it lists on the old primary, then run `pulumi up` again; on DB_A its reports are in {kept}",
    )


def reports_of(folder: Path) -> Dict[str, List[str]]:
    """What pg_upgrade left, newest run only: its lists (file name -> up to 20 lines), and its logs' errors."""
    runs = sorted(folder.glob("*/")) if folder.exists() else []
    found = {}
    for file in sorted(runs[-1].glob("*.txt")) if runs else []:
        lines = [line.strip() for line in file.read_text(errors="replace").splitlines() if line.strip()]
        found[file.name] = lines[:20]
    for file in sorted(runs[-1].glob("log/*.log")) if runs else []:
        lines = [
            line.strip()
            for line in file.read_text(errors="replace").splitlines()
            if "FATAL:" in line or "ERROR:" in line
        ]
        if lines:
            found[file.name] = lines[-5:]
    return found


def progress_of(line: str) -> Optional[str]:
    """The sentence worth showing in a line of pg_upgrade's output, None if there is none."""
    text = " ".join(line.split())
    return text if text and not set(text) <= set("-* ") else None
