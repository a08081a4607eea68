"""Where the stack config is read: everything under `pgleap:` goes to Settings, the password becomes a Pulumi secret."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pulumi
from pulumi.runtime.config import CONFIG, get_config_env, get_config_secret_keys_env, is_config_secret

from components.config_errors import NAMESPACE, SettingsError, config_path
from components.config_fields import has_control_characters, shown
from components.settings import Settings


class StackConfig(NamedTuple):
    """The settings, and the secret password of the role `pgleap`."""

    settings: Settings
    password: pulumi.Output[str]


def load() -> StackConfig:
    """Read this stack's config. Raises pulumi.RunError, which the engine shows without a traceback, with every mistake."""
    raw = _raw_config()
    mistakes = [*_password_mistakes(raw.get("password")), *_key_file_mistakes(raw.get("ssh"))]
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
    return StackConfig(settings, pulumi.Output.secret(str(raw["password"])))


def _raw_config() -> dict[str, Any]:
    """Every key under the namespace, those that no schema knows as well, so that a typing mistake is found."""
    prefix = f"{NAMESPACE}:"
    everything = {**get_config_env(), **CONFIG.get()}
    return {
        key.removeprefix(prefix): value if key == f"{prefix}password" else _decoded(value)
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


def _password_mistakes(password: str | None) -> list[str]:
    if not password:
        return []
    key = f"{NAMESPACE}:password"
    mistakes = []
    if not (is_config_secret(key) or key in get_config_secret_keys_env()):
        mistakes.append(
            f"{config_path('password')}: stands in plain text; choose another, `pulumi config set --secret password`"
        )
    if has_control_characters(password):
        mistakes.append(f"{config_path('password')}: holds control characters (a line end, a tab); choose another")
    return mistakes


def _key_file_mistakes(ssh: object) -> list[str]:
    file = ssh.get("privateKeyFile") if isinstance(ssh, Mapping) else None
    if not isinstance(file, str) or not file.strip() or Path(file).expanduser().is_file():
        return []
    return [f"{config_path('ssh', 'privateKeyFile')}: there is no file {shown(file)} on this machine"]
