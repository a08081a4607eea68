"""pg_hba.conf and pg_ident.conf as PostgreSQL reads them: the first matching line decides. Pure."""

from __future__ import annotations

import shlex
from functools import cache
from ipaddress import ip_address, ip_network
from typing import NamedTuple


class Rule(NamedTuple):
    """A line of pg_hba.conf; `network` is None on a `local` line."""

    databases: tuple[str, ...]
    users: tuple[str, ...]
    network: str | None
    method: str
    options: tuple[str, ...]


@cache
def rules(text: str) -> tuple[Rule, ...]:
    """Raises AssertionError on a kind of line that the model does not know."""
    found = []
    for line in text.splitlines():
        words = shlex.split(line, comments=True)
        if not words:
            continue
        assert words[0] in ("local", "host"), line
        is_local = words[0] == "local"
        network = None if is_local else words.pop(3)
        _, databases, users, method, *options = words
        found.append(Rule(tuple(databases.split(",")), tuple(users.split(",")), network, method, tuple(options)))
    return tuple(found)


@cache
def first_match(text: str, database: str, user: str, address: str | None) -> Rule | None:
    """The rule for a connection over TCP from `address`, or over the socket. `database` is "replication" for a physical one,
    which `all` does not match."""
    for rule in rules(text):
        if (rule.network is None) != (address is None):
            continue
        if rule.network not in (None, "all") and (
            address is None or ip_address(address) not in ip_network(str(rule.network))
        ):
            continue
        if database not in rule.databases and (database == "replication" or "all" not in rule.databases):
            continue
        if user in rule.users or "all" in rule.users:
            return rule
    return None


@cache
def may_be(ident: str, options: tuple[str, ...], os_user: str, user: str) -> bool:
    """Whether peer authentication lets the operating system's user be this role."""
    maps = [option.removeprefix("map=") for option in options if option.startswith("map=")]
    if not maps:
        return os_user == user
    lines = (shlex.split(line, comments=True) for line in ident.splitlines())
    return [maps[0], os_user, user] in list(lines)
