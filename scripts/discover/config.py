"""A stack's config, made of what was found. What could not be found out stands at its place as a comment, with what to do. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from components.config_errors import NAMESPACE
from components.settings import Role
from scripts.discover import proposal
from scripts.discover.found import BASTION, CLIENTS, DATABASES, Found, Machine
from scripts.discover.lines import Block, Line, Unknown

HOST_KEY = Unknown("ssh-ed25519 AAAA...")


@dataclass(frozen=True)
class Wishes:
    """What no cloud can know: the user that SSH logs in as, and the version to go to."""

    ssh_user: str | None
    new_version: int | None


def config(found: Found, wishes: Wishes) -> Block:
    """The whole file, under `config:`."""
    return [Line("config", [_namespaced(line) for line in _keys(found, wishes)])]


def _namespaced(line: Line) -> Line:
    return Line(f"{NAMESPACE}:{line.key}", line.value, line.why)


def _keys(found: Found, wishes: Wishes) -> Iterator[Line]:
    yield Line("phase", "prepare", "Pulumi.prod.yaml explains every key, and has those whose defaults may do.")
    yield Line("round", 1)
    yield Line("versions", [_old_version(found), _new_version(found, wishes)])
    yield _servers(found)
    yield _names(found)
    yield _reads_from(found)
    yield Line("ssh", list(_ssh(found, wishes)))
    yield _aws(found)
    yield from (Line(key, Unknown("a secret"), f"{what}: {how}") for key, what, how in secrets(found))


def secrets(found: Found) -> Iterator[tuple[str, str, str]]:
    """What no cloud should know: each secret's key, what it is, and the command that sets it."""
    command = "pulumi config set --secret"
    yield "password", "Of the role pgleap, by which the old primary and DB_A read each other", f"{command} password"
    if found.with_role(Role.REPLICA, Role.NEW_REPLICA):
        what = "Of the role that the new replicas stream as, pgleap:replication.user"
        yield "replicationPassword", what, f"{command} replicationPassword"


def _old_version(found: Found) -> Line:
    version = next(
        (machine.tags["version"] for machine in found.with_role(Role.PRIMARY) if "version" in machine.tags), ""
    )
    if version.isdecimal():
        return Line("old", int(version))
    return Line("old", Unknown("15"), f"Give the primary the tag {found.prefix}version, its major version.")


def _new_version(found: Found, wishes: Wishes) -> Line:
    tags = (machine.tags.get("version", "") for machine in found.with_role(Role.TARGET))
    version = wishes.new_version or next((int(tag) for tag in tags if tag.isdecimal()), None)
    if version:
        return Line("new", version)
    return Line("new", Unknown("17"), f"Say --new-version, or give DB_A the tag {found.prefix}version.")


def _servers(found: Found) -> Line:
    servers = [_server(found, machine) for machine in found.machines if machine.role != BASTION]
    proposed = list(_proposed(found))
    if not servers:
        return Line("servers", Unknown("{...}"), f"No running instance has the tag {found.prefix}role.")
    return Line("servers", [*servers, *proposed])


def _server(found: Found, machine: Machine) -> Line:
    return Line(machine.name, list(_server_lines(found, machine)), f"{machine.instance_id}, {machine.zone}")


def _server_lines(found: Found, machine: Machine) -> Iterator[Line]:
    tag = found.prefix
    yield Line("role", machine.role)
    yield Line("address", machine.address)
    yield _host_key(found, machine)
    if machine.role in (*DATABASES, Role.DRAINED):
        yield Line("instanceId", machine.instance_id)
    if machine.role == Role.DRAINED:
        groups = found.target_groups.get(machine.instance_id, ())
        why = "It is in no target group. If commands take it out of its load balancer: loadBalancer.commands."
        yield Line("targetGroups", groups or Unknown("[arn:aws:elasticloadbalancing:...]"), "" if groups else why)
    if machine.role == Role.WORKER:
        why = f"Give it the tag {tag}tasks, its systemd units with commas between."
        tasks = machine.listed("tasks")
        yield Line("tasks", tasks or Unknown("[celery.service]"), "" if tasks else why)
    if machine.role in CLIENTS and "reload" in machine.tags:
        yield Line("reload", machine.tags["reload"])
    if machine.role == Role.NEW_REPLICA:
        why = f"Without the tag {tag}takes-over it takes over no replica's names: they lead to DB_A."
        heir_of = machine.tags.get("takes-over")
        yield Line("takesOver", heir_of or Unknown("db2"), "" if heir_of else why)


def _host_key(found: Found, machine: Machine) -> Line:
    if key := found.host_keys.get(machine.instance_id):
        return Line("hostKey", key)
    why = "Its console output has no host key that serves (ssh-rsa does not), or none any more. Give what it has in /etc/ssh/ssh_host_ed25519_key.pub."
    return Line("hostKey", HOST_KEY, why)


def _proposed(found: Found) -> Iterator[Line]:
    """DB_A if there is none, and for each old replica that nobody takes over from a new one; no two with one address."""
    primaries = found.with_role(Role.PRIMARY)
    if not primaries:
        return
    names = {machine.name for machine in found.machines}
    heirs = {machine.tags.get("takes-over") for machine in found.with_role(Role.NEW_REPLICA)}
    wanted = [] if found.with_role(Role.TARGET) else [("db-a", Role.TARGET, primaries[0])]
    wanted += [
        (f"{replica.name}-new", Role.NEW_REPLICA, replica)
        for replica in found.with_role(Role.REPLICA)
        if replica.name not in heirs
    ]
    taken = {subnet: set(addresses) for subnet, addresses in found.taken.items()}
    room = max((disk.size for disk in proposal.data_disks(found.disks.get(primaries[0].instance_id, ()))), default=0)
    for wish, role, like in wanted:
        name = f"{wish}-{role.value}" if wish in names else wish
        free = proposal.free_address(found.networks[like.subnet_id], like.address, frozenset(taken[like.subnet_id]))
        if free:
            taken[like.subnet_id].add(free)
        lines = list(_proposed_lines(found, name, role, like, free, room))
        yield Line(
            name, lines, f"A proposal: `pulumi up` makes it, as {like.name}, beside it. Nothing of it is there yet."
        )


def _proposed_lines(
    found: Found, name: str, role: Role, like: Machine, address: str | None, room: int
) -> Iterator[Line]:
    yield Line("role", role.value)
    if address:
        yield Line("address", address, f"Free in {like.subnet_id} when this was written.")
    else:
        yield Line(
            "address", Unknown("10.0.0.14"), f"{like.subnet_id} has no free address. Give one of another subnet."
        )
    yield Line(
        "hostKey",
        HOST_KEY,
        f"python -m scripts.host_key {name} makes it, and the private half, which the server is given.",
    )
    if role is Role.NEW_REPLICA:
        yield Line("takesOver", like.name)
    disks = found.disks.get(like.instance_id, ())
    own = max((disk.size for disk in proposal.data_disks(disks)), default=0)
    yield proposal.instance(found, like, disks, max(room, own) if room else 0)


def _names(found: Found) -> Line:
    """A name on two servers is nobody's: which of them it leads to is not for this script to choose."""
    owned = found.database_names
    names = [
        Line(name, owners[0])
        if len(owners) == 1
        else Line(name, Unknown(owners[0]), f"The tags of {' and '.join(owners)} have it. Give it to one.")
        for name, owners in owned.items()
    ]
    led_to = {owner for owners in owned.values() for owner in owners}
    without = [machine.name for machine in found.with_role(*DATABASES) if machine.name not in led_to]
    how = (
        f"Tag {found.prefix}database-names: the names in the servers' /etc/hosts that lead there, with commas between."
    )
    why = f"No name is known to lead to {', '.join(without)}. {how}" if without else ""
    return Line("names", names or Unknown("{db1.internal.example: db1}"), why)


def _reads_from(found: Found) -> Line:
    """The replica with the most online servers in its zone: all their reads go there. Of several the first."""
    replicas = found.with_role(Role.REPLICA)
    if not replicas:
        return Line("readsFrom", Unknown("db2"), "There is no server with the role replica.")
    zones = Counter(machine.zone for machine in found.with_role(Role.ONLINE))
    best = max(replicas, key=lambda replica: zones[replica.zone])
    why = f"{zones[best.zone]} of {zones.total()} online servers are in its zone, {best.zone}. It must carry all their reads."
    return Line("readsFrom", best.name, why)


def _ssh(found: Found, wishes: Wishes) -> Iterator[Line]:
    why = "Who may use sudo without a password on every server: say --ssh-user."
    yield Line("user", wishes.ssh_user or Unknown("deploy"), "" if wishes.ssh_user else why)
    for bastion in found.with_role(BASTION)[:1]:
        address = bastion.public_address or bastion.address
        yield Line("bastion", [Line("address", address), _host_key(found, bastion)])


def _aws(found: Found) -> Line:
    servers = found.with_role(*DATABASES, *CLIENTS)
    vpcs = list(dict.fromkeys(machine.vpc_id for machine in servers))
    groups = {group: name for machine in servers for group, name in machine.groups.items()}
    several = f"The servers are in several: {', '.join(vpcs)}. This is the first one's. One alone: --vpc."
    ssh = "The databases' security groups let SSH in from nowhere in particular. Give your network, or the bastion's."
    named = ", ".join(f"{group} is {name}" for group, name in groups.items())
    return Line(
        "aws",
        [
            Line("region", found.region),
            Line("vpcId", vpcs[0] if vpcs else Unknown("vpc-..."), several if len(vpcs) > 1 else ""),
            Line("sshFrom", found.ssh_from or Unknown("[10.20.9.0/24]"), "" if found.ssh_from else ssh),
            Line(
                "fleetGroups",
                tuple(groups) or Unknown("[sg-...]"),
                f"All that these servers have: {named}." if named else "",
            ),
        ],
    )
