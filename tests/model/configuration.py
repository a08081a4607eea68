"""postgresql.conf as PostgreSQL reads it, and what the simulated fleet's clusters are configured with. Pure."""

from __future__ import annotations

import re
import shlex
from functools import cache
from types import MappingProxyType

HBA = """local all postgres peer
local all all peer
host all all 127.0.0.1/32 scram-sha-256
host all all 10.77.0.0/16 scram-sha-256
host replication replicator 10.77.0.12/31 scram-sha-256
"""
PRIMARY_CONF = """listen_addresses = '*'
port = '5432'
vacuum_defer_cleanup_age = '0'
archive_mode = 'on'
archive_command = 'archive %p'
"""


@cache
def settings_of(text: str) -> MappingProxyType[str, str]:
    """The settings in a configuration file, the last of each."""
    found = {}
    for line in text.splitlines():
        match = re.fullmatch(r"\s*([\w.]+)\s*=\s*(?:'((?:[^']|'')*)'|(\S+))\s*(?:#.*)?", line)
        if match:
            quoted = match[2].replace("''", "'").replace("\\\\", "\\") if match[2] is not None else match[3]
            found[match[1]] = quoted
    found.pop("include_if_exists", None)
    return MappingProxyType(found)


@cache
def upstream_of(conninfo: str) -> MappingProxyType[str, str]:
    """The words of a standby's primary_conninfo."""
    return MappingProxyType(dict(word.split("=", 1) for word in shlex.split(conninfo)))
