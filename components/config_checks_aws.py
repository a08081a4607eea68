"""What no single value of the stack config can tell about AWS and the load balancer. Pure, and tolerant as config_checks.py is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from components.config_errors import config_path
from components.config_fields import shown

PLACEHOLDERS = ("{server}", "{address}")
OLD_DATABASES = ("primary", "replica")
Raw = Mapping[str, Any]


def aws_checks(servers: Mapping[str, Raw], aws: Raw, load_balancer: Raw, *, terminate: bool) -> Iterator[str]:
    """Every such mistake, each beginning with its config path."""
    commands = load_balancer.get("commands")
    with_groups = [name for name, server in servers.items() if server.get("targetGroups")]
    if with_groups and commands:
        yield (
            f"{config_path('loadBalancer', 'commands')}: {', '.join(with_groups)} would leave by these and by targetGroups; "
            "give one of the two"
        )
    if with_groups and not aws:
        yield (
            f"{config_path('aws')}: missing; {', '.join(with_groups)} have targetGroups, "
            "so give it, with the region that they are in"
        )
    yield from _target_groups(servers, aws)
    if isinstance(commands, Mapping):
        yield from _commands(commands)
    yield from _instance_ids(servers)
    if terminate:
        yield from _terminate(servers, aws)


def _target_groups(servers: Mapping[str, Raw], aws: Raw) -> Iterator[str]:
    for name, server in servers.items():
        groups = server.get("targetGroups")
        if not isinstance(groups, list):
            continue
        path = config_path("servers", name, "targetGroups")
        if len(set(map(str, groups))) < len(groups):
            yield f"{path}: the same target group twice; name each once"
        for number, group in enumerate(groups):
            # arn:aws:elasticloadbalancing:REGION:ACCOUNT:targetgroup/NAME/ID
            parts = str(group).split(":")
            region = aws.get("region")
            if len(parts) == 6 and isinstance(region, str) and parts[3] != region:
                yield (
                    f"{config_path('servers', name, 'targetGroups', number)}: a target group in {parts[3]}, "
                    f"while pgleap:aws.region is {region}; give one in that region"
                )


def _commands(commands: Raw) -> Iterator[str]:
    for key in ("out", "in"):
        words = commands.get(key)
        if not isinstance(words, list):
            continue
        path = config_path("loadBalancer", "commands", key)
        if not words:
            yield f"{path}: is empty; give the program and its arguments"
            continue
        used = [found for word in words for found in re.findall(r"\{\w+\}", str(word))]
        for unknown in dict.fromkeys(found for found in used if found not in PLACEHOLDERS):
            yield f"{path}: {shown(unknown)} is replaced by nothing; what is replaced is {' and '.join(PLACEHOLDERS)}"
        if not used:
            yield f"{path}: the same for every server; say which one it is with {' or '.join(PLACEHOLDERS)}"


def _instance_ids(servers: Mapping[str, Raw]) -> Iterator[str]:
    """The id of another server's instance would take an online server out, or end a database that is in use."""
    owners: dict[str, str] = {}
    for name, server in servers.items():
        instance = server.get("instanceId")
        if isinstance(instance, str) and owners.setdefault(instance, name) != name:
            yield (
                f"{config_path('servers', name, 'instanceId')}: {shown(instance)} is {owners[instance]}'s instance too; "
                "give each server its own"
            )


def _terminate(servers: Mapping[str, Raw], aws: Raw) -> Iterator[str]:
    old = [name for name, server in servers.items() if server.get("role") in OLD_DATABASES]
    with_id = [name for name in old if servers[name].get("instanceId")]
    if not with_id:
        yield f"{config_path('terminate')}: true, and no old database has an instanceId; give {', '.join(old)} theirs, or take it out"
    elif not aws:
        yield f"{config_path('aws')}: missing; the instances of {', '.join(with_id)} are to be terminated, so give it, with their region"
