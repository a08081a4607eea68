"""The shape of a rehearsal's fleet, from a stack's own config: as many servers of each role as one machine can boot, under their own names.

Addresses, keys and instances are the lab's own, and so is how PostgreSQL is installed; `Shape.said` has a sentence for each thing that is
not as in the config.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from components.config_errors import NAMESPACE, SettingsError
from components.settings import SECRETS, Role, Settings
from components.settings import Server as Wanted
from rehearsal import asked
from rehearsal.lab.fleet import FIRST_ADDRESS, NEW_VERSION, OLD_VERSION, Fleet, Server, address
from rehearsal.lab.image import NEW_SUITE, OLD_SUITE
from rehearsal.lab.place import LabError

MOST_SERVERS = 20
"""What one machine is asked to boot. A bound, not a measurement: the lab's own twelve are what two cores boot in every run."""
# Of these there is one, whatever the size.
SINGLE = (Role.PRIMARY, Role.TARGET)
# In the order of their addresses.
ROLES = (*SINGLE, Role.REPLICA, Role.NEW_REPLICA, Role.ONLINE, Role.DRAINED, Role.WORKER)
ONLINE_FOR_DRILL = 3
"""So that at cutover one is left when two are in trouble."""


@dataclass(frozen=True)
class Shape:
    """A fleet, and what of the config it does not have, in sentences; how much data and traffic the config asks for, as the command line
    has it."""

    fleet: Fleet
    said: tuple[str, ...] = ()
    data: str | None = None
    traffic: str | None = None


def from_file(file: Path, most: int = MOST_SERVERS) -> Shape:
    """The shape of the fleet in a stack's config (Pulumi.<stack>.yaml). Raises LabError with every mistake in it."""
    try:
        text = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise LabError(
            f"Expected a stack's config in {file}, such as Pulumi.prod.yaml, and could not read it: {error}"
        ) from error
    config = text.get("config") if isinstance(text, Mapping) else None
    if not isinstance(config, Mapping):
        raise LabError(f"Expected a stack's config in {file}, with its keys below `config:`, and found no such key.")
    prefix = f"{NAMESPACE}:"
    given = {str(key).removeprefix(prefix): value for key, value in config.items() if str(key).startswith(prefix)}
    data, traffic = asked.in_config(config)
    try:
        return replace(shaped(settings(given), most), data=data, traffic=traffic)
    except SettingsError as error:
        raise LabError(f"{file}: {error}") from error


def settings(given: Mapping[str, Any]) -> Settings:
    """The stack's settings, from its config's keys without their prefix. Pure. Secrets may be there or not; where the fleet stands, and who
    died meanwhile, is left out: a rehearsal begins at the beginning. Raises SettingsError."""
    servers = given.get("servers")
    if isinstance(servers, Mapping):
        servers = {
            name: {key: value for key, value in one.items() if key != "lost"} if isinstance(one, Mapping) else one
            for name, one in servers.items()
        }
    begins = {"phase": "prepare", "round": 1, "acceptDataLoss": False}
    return Settings.from_config({**given, "servers": servers, **begins, **dict.fromkeys(SECRETS, "a secret")})


def shaped(wanted: Settings, most: int = MOST_SERVERS) -> Shape:
    """The fleet of at most `most` servers that has the shape of `wanted`. Pure. Raises LabError if the lab has not got its versions."""
    versions = (wanted.versions.old, wanted.versions.new)
    if versions != (OLD_VERSION, NEW_VERSION):
        raise LabError(
            f"Expected {NAMESPACE}:versions {{old: {OLD_VERSION}, new: {NEW_VERSION}}}, which is what the lab's Debian suites"
            f" ({OLD_SUITE}, {NEW_SUITE}) have, found {{old: {versions[0]}, new: {versions[1]}}}: rehearse from {OLD_VERSION} to {NEW_VERSION},"
            " or on servers of your own."
        )
    kept = _kept(wanted, most)
    addresses = itertools.count(FIRST_ADDRESS)
    servers = tuple(_server(one, address(next(addresses))) for one in kept)
    fleet = Fleet(
        servers,
        _names(wanted, kept),
        wanted.reads_from_name,
        {key: int(value) for key, value in wanted.limits.model_dump(by_alias=True, exclude_unset=True).items()},
    )
    return Shape(fleet, tuple(_said(wanted, kept, most)))


def for_drill(shape: Shape) -> Shape:
    """The same with three servers online at least: drained ones stay where there are too few. Pure. Raises LabError if there are none left."""
    missing = ONLINE_FOR_DRILL - len(shape.fleet.online)
    if missing <= 0:
        return shape
    stay = list(shape.fleet.drained)[:missing]
    if len(stay) < missing:
        raise LabError(
            f"Expected {ONLINE_FOR_DRILL} servers with the role online or drained, so that one is left when two are in trouble; found"
            f" {len(shape.fleet.online) + len(stay)}: drill with a fleet that has them."
        )
    servers = tuple(replace(one, role="online") if one.name in stay else one for one in shape.fleet.servers)
    said = f"{', '.join(stay)}: online rather than drained; a drill takes two online servers away, and needs a third"
    return replace(shape, fleet=replace(shape.fleet, servers=servers), said=(*shape.said, said))


def scaled(counts: Mapping[Role, int], most: int) -> dict[Role, int]:
    """How many servers of each role, `most` in all, each role's share being what it was; at least one of each that there is. Pure.

    By largest remainders; the primary and DB_A are one each. `most` is at least the number of roles there are.
    """
    if sum(counts.values()) <= most:
        return dict(counts)
    single = {role: 1 for role in SINGLE if counts.get(role)}
    many = {role: count for role, count in counts.items() if count and role not in single}
    free = most - len(single) - len(many)  # beyond the one of each
    others = sum(many.values()) - len(many)
    shares = {role: free * (count - 1) / others for role, count in many.items()}
    found = {role: 1 + int(share) for role, share in shares.items()}
    left = free - sum(int(share) for share in shares.values())
    for role in sorted(many, key=lambda role: int(shares[role]) - shares[role])[:left]:
        found[role] += 1
    return {**single, **found}


def _kept(wanted: Settings, most: int) -> list[Wanted]:
    """The servers that are booted, by role: of the old replicas the one that is read from and those that are taken over come first."""
    counts = scaled({role: len(wanted.with_role(role)) for role in ROLES}, most)
    heirs = {one.takes_over for one in wanted.with_role(Role.NEW_REPLICA)}
    replicas = sorted(
        wanted.with_role(Role.REPLICA), key=lambda one: (one.name != wanted.reads_from_name, one.name not in heirs)
    )[: counts[Role.REPLICA]]
    there = {one.name for one in replicas} | {None}
    found: list[Wanted] = []
    for role in ROLES:
        if role is Role.REPLICA:
            found += [one for one in wanted.with_role(role) if one in replicas]
        else:
            fit = [one for one in wanted.with_role(role) if one.takes_over in there]
            found += fit[: counts.get(role, 0)]
    return found


def _server(one: Wanted, at: str) -> Server:
    units = tuple(dict.fromkeys(f"{unit.rpartition('.')[0]}.service" for unit in one.tasks))
    return Server(
        one.name,
        one.role.value,
        at,
        tasks=units,
        keep_until=one.keep_until,
        takes_over=one.takes_over,
        instance=one.role in (Role.TARGET, Role.NEW_REPLICA),
    )


def _names(wanted: Settings, kept: Sequence[Wanted]) -> dict[str, str]:
    """Every database name; those of a replica that is not booted lead to the ones that are, in turn."""
    there = {one.name for one in kept}
    replicas = itertools.cycle(one.name for one in kept if one.role is Role.REPLICA)
    return {name: owner if owner in there else next(replicas) for name, owner in wanted.names.items()}


def _said(wanted: Settings, kept: Sequence[Wanted], most: int) -> list[str]:
    said = []
    if len(kept) < len(wanted.servers):
        parts = []
        for role in ROLES:
            had, has = len(wanted.with_role(role)), sum(one.role is role for one in kept)
            parts += [f"{role.value} {has} of {had}"] if has < had else []
        said.append(
            f"{len(wanted.servers)} servers are in the config, and one machine boots {most} at most: {len(kept)} are rehearsed, each role's"
            f" share kept ({', '.join(parts)})"
        )
    if reloads := [one.name for one in kept if one.reload]:
        said.append(f"reload is left out: the lab's web servers have no such service ({', '.join(reloads)})")
    if timers := sorted({unit for one in kept for unit in one.tasks if not unit.endswith(".service")}):
        said.append(f"{', '.join(timers)}: rehearsed as the service of that name")
    if wanted.postgres != type(wanted.postgres)():
        said.append(
            "postgres is the lab's own: Debian's layout, cluster main, port 5432, pg_upgrade's transferMode link and its 2 jobs"
        )
    if wanted.ssh.bastion:
        said.append("ssh.bastion is left out: the lab's servers are reached directly")
    if wanted.reverse_replication.leave_out:
        said.append(
            "reverseReplication.leaveOut is left out: its tables are not the lab's; the stream back carries all that it can"
        )
    return said
