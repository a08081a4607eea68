"""The stack config of a fleet of any size. Pure."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from components.settings import Role

# The databases are the same four, however many servers use them; of the servers that do, in percent. The rest is drained.
DATABASES = (("db1", Role.PRIMARY), ("db2", Role.REPLICA), ("db3", Role.REPLICA), ("db-a", Role.TARGET))
ONLINE, WORKERS = 10, 30
SMALLEST = len(DATABASES) + 3


def roles(servers: int) -> dict[Role, int]:
    """How many of `servers` have each role: at least one each. Raises ValueError below SMALLEST."""
    if servers < SMALLEST:
        raise ValueError(f"expected at least {SMALLEST} servers, so that each role has one; found {servers}")
    clients = servers - len(DATABASES)
    online, workers = max(1, round(clients * ONLINE / 100)), max(1, round(clients * WORKERS / 100))
    return {
        Role.PRIMARY: 1,
        Role.REPLICA: 2,
        Role.TARGET: 1,
        Role.ONLINE: online,
        Role.WORKER: workers,
        Role.DRAINED: clients - online - workers,
    }


def config(servers: int, drained: Path) -> dict[str, Any]:
    """The stack's config but for phase, round and the secret, without the namespace. A server is out of the load balancer as long as
    it has a folder in `drained`: what happens twice fails."""
    counts = roles(servers)
    names = dict(DATABASES)
    for prefix, role in (("web", Role.ONLINE), ("app", Role.DRAINED), ("worker", Role.WORKER)):
        names |= {f"{prefix}{number}": role for number in range(1, counts[role] + 1)}
    return {
        "versions": {"old": 15, "new": 17},
        "servers": {name: _server(number, name, role) for number, (name, role) in enumerate(names.items())},
        "names": {f"{name}.internal.ln": name for name in ("db1", "db2", "db3")},
        "readsFrom": "db2",
        "ssh": {"user": "deploy"},
        "loadBalancer": {
            "commands": {"out": ["mkdir", f"{drained}/{{server}}"], "in": ["rmdir", f"{drained}/{{server}}"]}
        },
    }


def _server(number: int, name: str, role: Role) -> dict[str, Any]:
    blob = b"".join(len(part).to_bytes(4, "big") + part for part in (b"ssh-ed25519", name.encode().ljust(32, b".")))
    return {
        "role": role.value,
        "address": f"10.78.{number // 250}.{number % 250 + 1}",
        "hostKey": f"ssh-ed25519 {base64.b64encode(blob).decode()}",
        **({"tasks": ["celery.service"]} if role is Role.WORKER else {}),
        **({"reload": "systemctl reload gunicorn.service"} if role is Role.ONLINE else {}),
    }
