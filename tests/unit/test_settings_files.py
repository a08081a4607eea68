"""Pulumi.yaml and Pulumi.prod.yaml: the schema and the example agree with the settings that are checked."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import yaml

from components.settings import Limits, Postgres, Settings

REPOSITORY = Path(__file__).parents[2]


def _yaml(name: str) -> Any:
    return yaml.safe_load((REPOSITORY / name).read_text())


def _example() -> dict[str, Any]:
    return {key.removeprefix("pgleap:"): value for key, value in _yaml("Pulumi.prod.yaml")["config"].items()}


def _keys() -> set[str]:
    return {field.alias or name for name, field in Settings.model_fields.items()} | {"password"}


def test_the_example_stack_is_valid() -> None:
    """The file that everybody copies must not be the first thing that is refused."""
    settings = Settings.from_config(_example())
    assert settings.primary.name == "db1"
    assert settings.ssh.bastion is not None


def test_the_example_stack_is_complete() -> None:
    """A setting that the example leaves out is one that nobody finds."""
    assert set(_example()) == _keys()
    assert set(_example()["limits"]) == {field.alias for field in Limits.model_fields.values()}


def test_the_examples_password_is_encrypted() -> None:
    """An example in plain text is what people copy."""
    form, nonce, text = _example()["password"]["secure"].split(":")
    assert form == "v1"
    assert len(base64.b64decode(nonce, validate=True)) == 12
    assert len(base64.b64decode(text, validate=True)) > 16


def test_the_schema_names_every_key_and_no_other() -> None:
    """A key missing from the schema has no description in `pulumi config`; one too many is a promise nobody keeps."""
    assert set(_yaml("Pulumi.yaml")["config"]) == _keys()


def test_the_schemas_defaults_are_the_settings_defaults() -> None:
    """Two defaults for one setting: what the schema shows would not be what happens."""
    schema = _yaml("Pulumi.yaml")["config"]
    assert Limits.model_validate(schema["limits"]["default"]) == Limits()
    assert Postgres.model_validate(schema["postgres"]["default"]) == Postgres()
    assert schema["limits"]["default"].keys() == Limits().model_dump(by_alias=True).keys()


def test_phase_and_round_have_no_default() -> None:
    """A default phase would send a fleet somewhere that nobody asked for."""
    schema = _yaml("Pulumi.yaml")["config"]
    assert schema["phase"]["default"] == schema["round"]["default"] == ""
    required = {field.alias for field in Settings.model_fields.values() if field.is_required()}
    assert {"phase", "round"} <= required
