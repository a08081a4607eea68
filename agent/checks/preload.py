"""Whether the new version's server really loads the libraries that the old one loads."""

from __future__ import annotations

from typing import Dict, List

from agent.check_names import CheckName
from agent.checks.check import Check, Severity, Side, Unseen
from agent.checks.sight import Sight
from agent.checks.upgrade_target import library_folder, must_be_standby, must_have_new_cluster
from agent.checks.wording import few
from agent.cluster import OS_USER
from agent.server import Completed

SETTINGS = ("shared_preload_libraries", "session_preload_libraries", "local_preload_libraries")
OWN = """SELECT coalesce(quote_ident(d.datname), 'all databases') AS database, coalesce(quote_ident(r.rolname), 'all roles') AS role,
  split_part(one, '=', 1) AS name, substr(one, position('=' IN one) + 1) AS value
FROM pg_db_role_setting s LEFT JOIN pg_database d ON d.oid = s.setdatabase LEFT JOIN pg_roles r ON r.oid = s.setrole, unnest(s.setconfig) one
WHERE split_part(one, '=', 1) IN ('session_preload_libraries', 'local_preload_libraries')"""
# The first version whose `postgres -C` goes as far as loading libraries: for what is known only once it has (release notes of 15).
LOADS_FROM = 15


def named(value: str) -> List[str]:
    """The libraries in a setting's value."""
    return [name.strip().strip('"') for name in value.split(",") if name.strip().strip('"')]


def _wanted(sight: Sight) -> Dict[str, str]:
    """Each library, as the server is told it, and where it is set."""
    found: Dict[str, str] = {}
    settings = sight.settings()
    for setting in SETTINGS:
        for name in named(settings.get(setting, "")):
            found.setdefault(_whole(setting, name), setting)
    for row in sight.rows(OWN):
        for name in named(row["value"]):
            found.setdefault(_whole(row["name"], name), f"{row['name']} of {row['role']} in {row['database']}")
    return found


def _whole(setting: str, name: str) -> str:
    """Of local_preload_libraries a plain name is looked for in a folder of their own."""
    plain = "/" not in name and setting == "local_preload_libraries"
    return f"$libdir/plugins/{name}" if plain else name


def _not_loaded(sight: Sight) -> List[str]:
    must_be_standby(sight)
    wanted = _wanted(sight)
    if not wanted:
        return []
    folder = library_folder(sight)
    try:
        must_load(sight)
        return few(_tried(sight, list(wanted), wanted))
    except Unseen:
        # Nothing was loaded; what is not even there is found all the same.
        missing = [name for name in wanted if not sight.server.path(_file(name, folder)).exists()]
        if not missing:
            raise
        return few([f"{name} ({wanted[name]}): no file {_file(name, folder)}" for name in missing])


def must_load(sight: Sight) -> None:
    """Raises Unseen if nothing can be loaded here."""
    if sight.new.version < LOADS_FROM:
        raise Unseen(f"PostgreSQL {sight.new.version} loads libraries only when it starts; their files are there")
    must_have_new_cluster(sight)


def _tried(sight: Sight, names: List[str], wanted: Dict[str, str]) -> List[str]:
    """Have the server load them all, and each on its own if that fails. Raises Unseen if it does not even come up without."""
    together = _load(sight, names)
    if together.returncode == 0:
        return []
    bare = _load(sight, [])
    if bare.returncode != 0:
        raise Unseen(f"the new version's server does not come so far as to load libraries: {_said(bare)}")
    alone = {name: _load(sight, [name]) for name in names}
    found = [f"{name} ({wanted[name]}): {_said(done)}" for name, done in alone.items() if done.returncode != 0]
    return found or [f"{', '.join(names)}, together: {_said(together)}"]


def _load(sight: Sight, names: List[str]) -> Completed:
    new, value = sight.new, ", ".join(f'"{name}"' for name in names)
    others = [argument for name in SETTINGS[1:] for argument in ("-c", f"{name}=")]
    return sight.program(
        new.program("postgres"), "-D", new.config, "-c", "lc_messages=C", "-c", f"shared_preload_libraries={value}", *others,
        "-C", "shared_memory_size", user=OS_USER,
    )  # fmt: skip


def _said(done: Completed) -> str:
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    fatal = [line for line in lines if "FATAL:" in line or "ERROR:" in line]
    return (fatal or lines or [f"exit status {done.returncode}"])[-1].rpartition("FATAL:")[2].strip()


def _file(name: str, folder: str) -> str:
    """As dfmgr.c completes a library's name."""
    path = name.replace("$libdir", folder, 1) if "/" in name else f"{folder}/{name}"
    return path if path.endswith(".so") else f"{path}.so"


CHECKS = (
    Check(
        name=CheckName.PRELOAD_LIBRARIES,
        severity=Severity.REFUSE,
        sides=(Side.TARGET,),
        why="the new version's server does not start, or lets nobody in, without the libraries that it is to load",
        do="install the packages for the new version on DB_A and the new replicas, or take the library out of the setting on the old"
        " primary, then `pulumi config set round <one higher> && pulumi up`",
        look=_not_loaded,
    ),
)
