"""The private SSH host keys of the instances that the program makes: whether each is one, and belongs to the server's `hostKey`.

They never become part of Settings, and no message shows anything of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from components.config_errors import config_path
from components.config_fields import HOST_KEY_TYPES

KEY = "hostPrivateKeys"
ED25519 = HOST_KEY_TYPES[0]


def host_key_mistakes(config: Mapping[str, Any]) -> Iterator[str]:
    """Every mistake of `pgleap:hostPrivateKeys`, each beginning with its config path. `config` is the stack's, as it was written."""
    servers, keys = config.get("servers"), config.get(KEY) or {}
    servers = servers if isinstance(servers, Mapping) else {}
    if not isinstance(keys, Mapping):
        yield f"{config_path(KEY)}: is not a map of servers' names and private keys; {_how('NAME')}"
        return
    instances = {name: one for name, one in servers.items() if isinstance(one, Mapping) and one.get("instance")}
    for name in keys.keys() - instances.keys():
        yield f"{config_path(KEY, str(name))}: there is no server of this name with an instance; take the key out"
    for name, server in instances.items():
        if not keys.get(name):
            yield f"{config_path(KEY, name)}: missing; {_how(name)}"
            continue
        public = _public_of(str(keys[name]))
        if public is None:
            yield f"{config_path(KEY, name)}: not a private key of type {ED25519} in OpenSSH's format without a passphrase; {_how(name)}"
        elif public.split() != str(server.get("hostKey")).split()[:2]:
            yield f"{config_path('servers', name, 'hostKey')}: not the public half of {config_path(KEY, name)}; {_how(name)}"


def _how(name: str) -> str:
    return f"run `python -m scripts.host_key {name}`, which makes both halves"


def _public_of(private_key: str) -> str | None:
    """The public half, "ssh-ed25519 AAAA...", of a private key; None if it is not one, has a passphrase, or is of another type."""
    # 0.06 s, and only a stack with instances needs it.
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415
        Encoding,
        PublicFormat,
        load_ssh_private_key,
    )

    try:
        key = load_ssh_private_key(f"{private_key.strip()}\n".encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
    if not isinstance(key, Ed25519PrivateKey):
        return None
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
