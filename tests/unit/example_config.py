"""A stack config without mistakes, for tests to alter."""

from __future__ import annotations

import base64
import copy
from typing import Any


def host_key(name: str, kind: str = "ssh-ed25519") -> str:
    """A well-formed public key that is `name`'s alone."""
    fields = (kind.encode(), name.encode().ljust(32, b"."))
    blob = b"".join(len(field).to_bytes(4, "big") + field for field in fields)
    return f"{kind} {base64.b64encode(blob).decode()}"


def _server(name: str, role: str, address: str, **more: Any) -> dict[str, Any]:
    return {"role": role, "address": address, "hostKey": host_key(name), **more}


CONFIG: dict[str, Any] = {
    "phase": "prepare",
    "round": "1",
    "versions": {"old": 15, "new": 17},
    "servers": {
        "db1": _server("db1", "primary", "10.77.0.11"),
        "db2": _server("db2", "replica", "10.77.0.12"),
        "db3": _server("db3", "replica", "10.77.0.13"),
        "db-a": _server("db-a", "target", "10.77.0.14"),
        "web1": _server("web1", "online", "10.77.0.21", reload="systemctl reload myapp"),
        "web2": _server("web2", "online", "10.77.0.22"),
        "web3": _server("web3", "drained", "10.77.0.23"),
        "worker1": _server("worker1", "worker", "10.77.0.31", tasks=["celery.service"]),
        "worker2": _server("worker2", "worker", "10.77.0.32", tasks=["mail@1.service"], keepUntil="upgrade"),
    },
    "names": {"db1.internal.ln": "db1", "db2.internal.ln": "db2", "db3.internal.ln": "db3"},
    "readsFrom": "db2",
    "ssh": {"user": "deploy", "bastion": {"address": "bastion.example.com", "hostKey": host_key("bastion")}},
    "password": "correct horse",
}


def config() -> dict[str, Any]:
    """A fresh copy, as the program gets it: top-level scalars are text, objects are decoded."""
    return copy.deepcopy(CONFIG)
