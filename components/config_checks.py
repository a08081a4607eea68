"""What no single value of the stack config can tell: whether the values fit each other.

Pure, and tolerant on purpose: it looks at the config as it was written, so that these mistakes are reported together with
those of single values, and a value that is of the wrong kind is left to the check of its field.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from agent import advice
from agent.states import Phase
from components.config_checks_aws import aws_checks
from components.config_checks_instances import instance_checks
from components.config_errors import config_path
from components.config_fields import plain_address, shown

# The fence is read with pg_current_snapshot() and slots are bounded by max_slot_wal_keep_size: both are there from 13 on.
OLDEST_VERSION = 13
# The newest version whose pg_upgrade, and whose changes of defaults, this release knows.
NEWEST_VERSION = 18
# Steps of old replicas bear the name of a server or of one of these groups: `db2-sessions-online`.
GROUPS = ("online", "others")
HOSTS_ROLES = ("online", "drained", "worker")
ROLES = ("primary", "replica", "target", "new-replica", *HOSTS_ROLES)
# Keys of a server that only some roles have.
KEYS_OF_ROLES: dict[str, tuple[str, ...]] = {
    "tasks": ("worker",),
    "keepUntil": ("worker",),
    "reload": HOSTS_ROLES,
    "takesOver": ("new-replica",),
    "instance": ("target", "new-replica"),
    "instanceId": ("primary", "replica", "drained"),
    "targetGroups": ("drained",),
}
Raw = Mapping[str, Any]


def cross_checks(config: Raw) -> Iterator[str]:
    """Every mistake that shows only between values, each beginning with its config path."""
    servers = {str(name): server for name, server in _map(config.get("servers")).items() if isinstance(server, Mapping)}
    if servers:
        yield from _group_names(servers)
        yield from _roles(servers)
        yield from _addresses(servers)
        yield from _keys_for_roles(servers)
        yield from _takes_over(servers)
        yield from _synchronous(servers, _map(config.get("replication")).get("synchronousStandbyNames"))
        yield from _host_keys(servers, config)
        yield from _reads_from(servers, config.get("readsFrom"))
        yield from _names(servers, _map(config.get("names")))
        yield from _lost(servers, config)
        yield from _rehearsal(servers, config)
        terminate = _is_true(config.get("terminate"))
        yield from aws_checks(servers, _map(config.get("aws")), _map(config.get("loadBalancer")), terminate=terminate)
        yield from instance_checks(config, servers)
    yield from _versions(_map(config.get("versions")))
    yield from _places(_map(config.get("postgres")))
    yield from _stream(_map(config.get("reverseReplication")))


def _map(value: object) -> Raw:
    return value if isinstance(value, Mapping) else {}


def _is_true(value: object) -> bool:
    """`pulumi config set` hands a plain value on as text."""
    return str(value).lower() == "true"


def _with_role(servers: Mapping[str, Raw], *roles: str) -> list[str]:
    return [name for name, server in servers.items() if server.get("role") in roles]


def _stream(reverse: Raw) -> Iterator[str]:
    if _is_true(reverse.get("replicasKeepNames")) and str(reverse.get("enabled", True)).lower() == "false":
        path = config_path("reverseReplication", "replicasKeepNames")
        yield f"{path}: without the stream (enabled: false) the old replicas would go on serving what was true before cutover; give one of the two"


def _group_names(servers: Mapping[str, Raw]) -> Iterator[str]:
    for name in servers:
        if name in GROUPS:
            yield f"{config_path('servers', name)}: a group of servers has this name in the steps' names; give the server another one"


def _roles(servers: Mapping[str, Raw]) -> Iterator[str]:
    for role, what in (("primary", "the old primary"), ("target", "the upgrade target, DB_A")):
        found = _with_role(servers, role)
        if not found:
            yield f"{config_path('servers')}: no server has the role {role} ({what}); give it to exactly one"
        if len(found) > 1:
            yield f"{config_path('servers')}: {', '.join(found)} all have the role {role} ({what}); give it to exactly one"
    if not _with_role(servers, "replica"):
        yield f"{config_path('servers')}: no server has the role replica; one must serve reads while writes are refused"
    if not _with_role(servers, "online"):
        yield f"{config_path('servers')}: no server has the role online; name those that stay behind the load balancer"


def _addresses(servers: Mapping[str, Raw]) -> Iterator[str]:
    owners: dict[object, list[str]] = defaultdict(list)
    for name, server in servers.items():
        try:
            owners[plain_address(str(server.get("address")))].append(name)
        except ValueError:
            continue
    for address, names in owners.items():
        for name in names[1:]:
            yield (
                f"{config_path('servers', name, 'address')}: {shown(str(address))} is {names[0]}'s address too; "
                "give each server its own"
            )


def _keys_for_roles(servers: Mapping[str, Raw]) -> Iterator[str]:
    for name, server in servers.items():
        role = server.get("role")
        if "name" in server:
            yield f"{config_path('servers', name, 'name')}: unknown key; the server's name is {name}, its key in servers"
        if role == "worker" and not server.get("tasks"):
            yield f"{config_path('servers', name, 'tasks')}: missing; give a worker's systemd units, such as [celery.service]"
        tasks = server.get("tasks")
        if isinstance(tasks, list) and len(set(map(str, tasks))) < len(tasks):
            yield f"{config_path('servers', name, 'tasks')}: the same unit twice; name each once"
        for key, roles in KEYS_OF_ROLES.items():
            if key in server and role in ROLES and role not in roles:
                yield f"{config_path('servers', name, key)}: {name} has the role {role}; only {', '.join(roles)} can have it"


def _takes_over(servers: Mapping[str, Raw]) -> Iterator[str]:
    """A new replica takes over the names of one old replica, and no two the same: what a name leads to must not be a matter of luck."""
    replicas = _with_role(servers, "replica")
    heirs: dict[object, str] = {}
    for name in _with_role(servers, "new-replica"):
        heir_of = servers[name].get("takesOver")
        if heir_of is None:
            continue
        path = config_path("servers", name, "takesOver")
        if heir_of not in replicas:
            yield f"{path}: {shown(heir_of)} is no server with the role replica; give one ({', '.join(replicas)})"
        elif heirs.setdefault(heir_of, name) != name:
            yield f"{path}: {heirs[heir_of]} takes the names of {shown(heir_of)} over already; give another one"


def _synchronous(servers: Mapping[str, Raw], setting: object) -> Iterator[str]:
    """A value that PostgreSQL refuses, or a name that nobody has, is found out with names moved or every commit waiting."""
    if not isinstance(setting, str) or not setting.strip():
        return
    path, replicas = config_path("replication", "synchronousStandbyNames"), _with_role(servers, "new-replica")
    inner = re.sub(r"^\s*((first|any)\s+)?\d+\s*\((.*)\)\s*$", r"\3", setting, flags=re.IGNORECASE)
    for word in (word.strip() for word in inner.split(",")):
        name = word.strip('"')
        if word == "*":
            continue
        if name not in replicas:
            yield f"{path}: {shown(name)} is no server with the role new-replica; give one ({', '.join(replicas) or 'there is none'})"
        elif _is_true(servers[name].get("lost")):
            yield f"{path}: {name} is lost, and every commit would wait for it; take it out of there"
        elif word == name and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_$]*", name):
            yield f'{path}: {name} needs double quotes there, "{name}"; PostgreSQL reads it no other way'


def _host_keys(servers: Mapping[str, Raw], config: Raw) -> Iterator[str]:
    if _is_true(config.get("acceptUnknownHostKeys")):
        return
    bastion = _map(_map(config.get("ssh")).get("bastion"))
    without = [("servers", name) for name, server in servers.items() if not server.get("hostKey")]
    for path in [*without, *([("ssh", "bastion")] if bastion and not bastion.get("hostKey") else [])]:
        yield (
            f"{config_path(*path, 'hostKey')}: missing; give what the server has in /etc/ssh/ssh_host_ed25519_key.pub, "
            "or say pgleap:acceptUnknownHostKeys: true"
        )


def _reads_from(servers: Mapping[str, Raw], reads_from: object) -> Iterator[str]:
    if not isinstance(reads_from, str) or not reads_from:
        return
    replicas = _with_role(servers, "replica")
    if reads_from not in servers:
        yield f"{config_path('readsFrom')}: there is no server {shown(reads_from)}; give a replica ({', '.join(replicas)})"
    elif reads_from not in replicas:
        role = servers[reads_from].get("role")
        listed = ", ".join(replicas) or "none there is"
        yield f"{config_path('readsFrom')}: {reads_from} has the role {role}; DB_B must be a replica ({listed})"


def _lost(servers: Mapping[str, Raw], config: Raw) -> Iterator[str]:
    """Where a dead server leaves a way, by phase; elsewhere there is none that loses nothing."""
    lost = {name for name, server in servers.items() if _is_true(server.get("lost"))}
    phase = config.get("phase")
    for name in _with_role(servers, "target"):
        if name in lost and phase in ("readonly", "upgrade", "cutover", "replicas", "retire"):
            yield (
                f"{config_path('servers', name, 'lost')}: phase {phase} is not without DB_A; the way back:"
                f" {advice.to(Phase.PREPARE, _higher_round(config))}"
            )
        if name not in lost and _is_true(config.get("acceptDataLoss")) and phase not in ("prepare", "upgrade"):
            yield (
                f"{config_path('acceptDataLoss')}: true on a way that loses nothing, the one to {phase}; take it out:"
                f" {advice.TAKE_BACK_THE_WORD}; or go the way back that it is for: python -m scripts.window --back"
            )
    for name in _with_role(servers, "primary"):
        if name in lost and phase in ("prepare", "readonly"):
            yield (
                f"{config_path('servers', name, 'lost')}: phase {phase} is not without the old primary; once it was fenced, go on:"
                f" {advice.to(Phase.UPGRADE, _higher_round(config))}, then the same with cutover; before that, promote a replica by your own"
                " means and begin anew with it"
            )
    reads_from = config.get("readsFrom")
    alive = [name for name in _with_role(servers, "replica") if name not in lost]
    if reads_from in lost and phase == "prepare" and alive:
        # With no other replica this is the way back of a fleet that has lost its last one; from cutover on nothing rests on it.
        do = f"give another replica: pulumi config set readsFrom {alive[0]} && {advice.again(_higher_round(config))}"
        yield f"{config_path('readsFrom')}: {reads_from} is lost, and is to serve all reads while writes are refused; {do}"
    if reads_from in lost and phase in ("readonly", "upgrade"):
        do = f"give another replica: pulumi config set readsFrom {alive[0] if alive else ''} && {advice.again(_higher_round(config))}"
        yield (
            f"{config_path('readsFrom')}: {reads_from} is lost, and serves all reads in phase {phase};"
            f" {do if alive else 'no other replica is left: promote one by your own means, or bring it back'}"
        )
    if _with_role(servers, "online") and not set(_with_role(servers, "online")) - lost:
        yield f"{config_path('servers')}: every online server is lost; give one that lives"


def _rehearsal(servers: Mapping[str, Raw], config: Raw) -> Iterator[str]:
    """A rehearsal makes DB_A and upgrades it. What would lead clients anywhere, or end anything of the fleet's, is none of it."""
    if not _is_true(config.get("rehearsal")):
        return
    phase = config.get("phase")
    if phase in ("readonly", "cutover", "replicas", "retire"):
        yield (
            f"{config_path('phase')}: {phase} would touch a fleet that serves, and this stack is a rehearsal (pgleap:rehearsal);"
            " give prepare, then upgrade"
        )
    for name in _with_role(servers, "primary", "target"):
        if _is_true(servers[name].get("lost")):
            yield f"{config_path('servers', name, 'lost')}: a rehearsal needs its {servers[name]['role']}; take lost out, or give another server"


def _higher_round(config: Raw) -> int:
    """A round above the config's; a value that is no number is told of by the check of its field."""
    given = str(config.get("round", ""))
    return advice.higher(int(given) if given.isdecimal() else 1)


def _names(servers: Mapping[str, Raw], names: Raw) -> Iterator[str]:
    owners = _with_role(servers, "primary", "replica")
    spelled: dict[str, str] = {}
    for name, owner in names.items():
        first = spelled.setdefault(name.lower(), name)
        if first != name:
            yield f"{config_path('names', name)}: the same name as {first}; host names know no capitals, give it once"
        if not isinstance(owner, str):
            continue
        if owner not in servers:
            yield (
                f"{config_path('names', name)}: there is no server {shown(owner)}; "
                f"give the one that it names before the upgrade ({', '.join(owners)})"
            )
        elif owner not in owners:
            role = servers[owner].get("role")
            yield f"{config_path('names', name)}: {owner} has the role {role}; a name leads to the primary or a replica"
    if names:
        for primary in _with_role(servers, "primary"):
            if primary not in names.values():
                yield f"{config_path('names')}: no name leads to {primary}, the primary; give the one that writes go to"


def _versions(versions: Raw) -> Iterator[str]:
    try:
        old, new = int(str(versions["old"])), int(str(versions["new"]))
    except (KeyError, ValueError):
        return
    if old < OLDEST_VERSION:
        yield (
            f"{config_path('versions', 'old')}: {old} is older than {OLDEST_VERSION}, the first version that tells "
            "a snapshot's bounds in 64 bits and bounds what a slot keeps (pg_current_snapshot, max_slot_wal_keep_size)"
        )
    if new > NEWEST_VERSION:
        yield (
            f"{config_path('versions', 'new')}: {new} is newer than {NEWEST_VERSION}, the newest version "
            "whose pg_upgrade this release knows; use a newer release of pgleap"
        )
    if new <= old:
        yield f"{config_path('versions', 'new')}: {new} does not rise above {old}; give the major version to upgrade to"


def _places(postgres: Raw) -> Iterator[str]:
    old, new = _map(postgres.get("old")), _map(postgres.get("new"))
    for key, what in (("bin", "programs"), ("data", "data"), ("config", "configuration"), ("unit", "unit")):
        if old.get(key) and old.get(key) == new.get(key):
            yield f"{config_path('postgres', 'new', key)}: the same {what} as the old version's; give the new version's own"
