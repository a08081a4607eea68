"""What the verb `preflight` looks for on each server, as a JSON-ready dictionary. Pure."""

from __future__ import annotations

from typing import Any

from components.desired import Desire, Desired
from components.settings import Role, Server

SIDES = {
    Role.PRIMARY: "old primary",
    Role.REPLICA: "old replica",
    Role.TARGET: "DB_A",
    Role.NEW_REPLICA: "new replica",
    Role.ONLINE: "server",
    Role.DRAINED: "server",
    Role.WORKER: "server",
}


def preflight(desire: Desire, server: Server) -> Desired:
    """For one server; every side gets the same keys, and reads those it needs."""
    settings, reverse = desire.settings, desire.settings.reverse_replication
    databases = settings.with_role(Role.PRIMARY, Role.REPLICA, Role.TARGET, Role.NEW_REPLICA)
    wanted: dict[str, Any] = {
        "server": server.name,
        "address": server.address,
        "round": settings.round,
        "phase": desire.phase.value,
        "side": SIDES[server.role],
        "isReadFrom": server is settings.reads_from,
        "postgres": desire.old_postgres(),
        "newPostgres": desire.new_postgres(),
        "primary": desire.other_side(settings.primary),
        "replicas": desire.old_replicas(),
        "target": {settings.target.name: settings.target.address},
        "readsFrom": {settings.reads_from.name: settings.reads_from.address},
        # Name -> address, as the phase has it on this server; and where every database server listens.
        "names": _names(desire, server),
        "databases": {one.name: one.address for one in databases if not one.lost},
        "knownClients": sorted({one.address for one in settings.servers.values()}),
        "tasks": list(server.tasks),
        "reload": server.reload or "",
        "transferMode": settings.postgres.transfer_mode,
        "archiveCommand": settings.postgres.archive_command or "",
        "reverse": {"enabled": reverse.enabled, "leaveOut": list(reverse.leave_out)},
        "lagBytes": settings.limits.lag_bytes,
        "graceSeconds": settings.limits.grace_seconds,
    }
    return wanted


def for_ready(desire: Desire, server: Server) -> Desired:
    """What the verb `ready` needs beside its own keys to make these checks, and the names of those that were accepted. In every phase the
    same but for what the stack says, so that a preview has nothing to show."""
    wanted = preflight(desire, server)
    own = ("server", "address", "round", "phase", "side", "names", "tasks", *desire.ready(SIDES[server.role]))
    return {
        **{key: value for key, value in wanted.items() if key not in own},
        "accepted": sorted(desire.settings.preflight.accept),
    }


def _names(desire: Desire, server: Server) -> dict[str, str]:
    online = server.role is Role.ONLINE
    return desire.names(desire.parts.online_hosts if online else desire.parts.other_hosts)
