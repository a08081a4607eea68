"""Where the stack config is read: everything under `pgleap:` goes to Settings, what is secret becomes a Pulumi secret."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pulumi
from pulumi.runtime.config import CONFIG, get_config_env, get_config_secret_keys_env, is_config_secret

from components.config_errors import NAMESPACE, SettingsError, config_path
from components.config_fields import has_control_characters, shown
from components.host_keys import KEY as HOST_PRIVATE_KEYS
from components.host_keys import host_key_mistakes
from components.settings import Settings

PASSWORDS = ("password", "replicationPassword")


@dataclass(frozen=True)
class Secrets:
    """The passwords of the role `pgleap` and of the one that new replicas stream as ("" without any), and the private host keys of
    instances, by the server's name. None of them is part of the settings."""

    password: pulumi.Output[str]
    replication_password: pulumi.Output[str]
    host_private_keys: Mapping[str, pulumi.Output[str]]


class StackConfig(NamedTuple):
    """What the stack config holds."""

    settings: Settings
    secrets: Secrets


def load() -> StackConfig:
    """Read this stack's config. Raises pulumi.RunError, which the engine shows without a traceback, with every mistake."""
    raw = _raw_config()
    mistakes = [mistake for key in PASSWORDS for mistake in _password_mistakes(key, raw.get(key))]
    mistakes += [*_key_file_mistakes(raw.get("ssh")), *_host_key_mistakes(raw)]
    try:
        settings = Settings.from_config(raw)
    except SettingsError as error:
        whole = SettingsError([*error.mistakes, *mistakes]) if error.mistakes else error
        raise pulumi.RunError(str(whole)) from None
    key_file = settings.ssh.private_key_file
    if key_file is not None and not key_file.is_file():
        mistakes.append(
            f"{config_path('ssh', 'privateKeyFile')}: there is no file {shown(str(key_file))} on this machine"
        )
    if mistakes:
        raise pulumi.RunError(str(SettingsError(mistakes)))
    password, replication = (pulumi.Output.secret(str(raw.get(key) or "")) for key in PASSWORDS)
    keys = {name: pulumi.Output.secret(str(key)) for name, key in (raw.get(HOST_PRIVATE_KEYS) or {}).items()}
    return StackConfig(settings, Secrets(password, replication, keys))


def _raw_config() -> dict[str, Any]:
    """Every key under the namespace, those that no schema knows as well, so that a typing mistake is found."""
    prefix = f"{NAMESPACE}:"
    everything = {**get_config_env(), **CONFIG.get()}
    return {
        key.removeprefix(prefix): value if key.removeprefix(prefix) in PASSWORDS else _decoded(value)
        for key, value in everything.items()
        if key.startswith(prefix)
    }


def _decoded(value: str) -> Any:
    """Objects and lists reach a program as JSON, everything else as text."""
    if value.startswith(("{", "[")):
        try:
            return json.loads(value)
        except json.JSONDecodeError:
            return value
    return value


def _password_mistakes(name: str, password: str | None) -> list[str]:
    if not password:
        return []
    mistakes = []
    if not _is_secret(name):
        mistakes.append(
            f"{config_path(name)}: stands in plain text; choose another, `pulumi config set --secret {name}`"
        )
    if has_control_characters(password):
        mistakes.append(f"{config_path(name)}: holds control characters (a line end, a tab); choose another")
    return mistakes


def _is_secret(key: str) -> bool:
    path = f"{NAMESPACE}:{key}"
    return is_config_secret(path) or path in get_config_secret_keys_env()


def _host_key_mistakes(raw: Mapping[str, Any]) -> list[str]:
    if raw.get(HOST_PRIVATE_KEYS) and not _is_secret(HOST_PRIVATE_KEYS):
        return [
            f"{config_path(HOST_PRIVATE_KEYS)}: stands in plain text; make others with `python -m scripts.host_key NAME`"
        ]
    return list(host_key_mistakes(raw))


def _key_file_mistakes(ssh: object) -> list[str]:
    file = ssh.get("privateKeyFile") if isinstance(ssh, Mapping) else None
    if not isinstance(file, str) or not file.strip() or Path(file).expanduser().is_file():
        return []
    return [f"{config_path('ssh', 'privateKeyFile')}: there is no file {shown(file)} on this machine"]
