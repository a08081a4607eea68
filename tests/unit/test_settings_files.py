"""Pulumi.yaml and Pulumi.prod.yaml: the schema and the example agree with the settings that are checked."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from components.settings import SECRETS, Limits, Postgres, Settings

REPOSITORY = Path(__file__).parents[2]


def _yaml(name: str) -> Any:
    return yaml.safe_load((REPOSITORY / name).read_text())


def _example() -> dict[str, Any]:
    """What the program reads: keys of other namespaces are a rehearsal's."""
    whole = _yaml("Pulumi.prod.yaml")["config"]
    return {key.removeprefix("pgleap:"): value for key, value in whole.items() if key.startswith("pgleap:")}


def _keys() -> set[str]:
    return {field.alias or name for name, field in Settings.model_fields.items()} | set(SECRETS)


def test_the_example_stack_is_valid() -> None:
    """The file that everybody copies must not be the first thing that is refused."""
    settings = Settings.from_config(_example())
    assert settings.primary.name == "db1"
    assert settings.ssh.bastion is not None


def test_the_example_stack_is_complete() -> None:
    """A setting that the example leaves out is one that nobody finds."""
    assert set(_example()) == _keys()
    assert set(_example()["limits"]) == {field.alias for field in Limits.model_fields.values()}


def _secret_values(value: Any) -> Iterator[Any]:
    """What stands in the place of a secret: of a map of them, each."""
    if isinstance(value, dict) and "secure" not in value:
        for one in value.values():
            yield from _secret_values(one)
    else:
        yield value


def test_the_examples_secrets_are_encrypted() -> None:
    """An example in plain text is what people copy."""
    example = _example()
    values = [value for key in SECRETS for value in _secret_values(example[key])]
    assert len(values) == 2 + len(example["hostPrivateKeys"])
    for value in values:
        assert value.keys() == {"secure"}
        form, nonce, text = value["secure"].split(":")
        assert form == "v1"
        assert len(base64.b64decode(nonce, validate=True)) == 12
        assert len(base64.b64decode(text, validate=True)) > 16


def test_the_examples_instances_have_their_host_keys() -> None:
    """An instance without the private half of its key would be made with one that nobody knows, and refused at the first contact."""
    example = _example()
    made = {name for name, server in example["servers"].items() if "instance" in server}
    assert made == example["hostPrivateKeys"].keys() == {"db-a", "db-c", "db-d"}


def test_the_example_shows_what_aws_needs() -> None:
    """A part that the example leaves out at its place is one that nobody finds: what takes over from whom, and where it is made."""
    settings = Settings.from_config(_example())
    assert {server.takes_over for server in settings.new_replicas} == {server.name for server in settings.replicas}
    assert all(server.instance_id and server.target_groups for server in settings.drained)
    assert all(server.instance_id for server in (settings.primary, *settings.replicas))
    assert settings.aws is not None
    assert settings.replication.synchronous_standby_names is not None
    assert not settings.terminate
    volume = settings.target.instance.volume if settings.target.instance else None
    assert volume is not None
    assert volume.kms_key_id is not None


def test_the_example_explains_its_state() -> None:
    """A KMS key without the command that names it: whoever copies the file makes a stack with a passphrase that one person knows."""
    text = (REPOSITORY / "Pulumi.prod.yaml").read_text()
    provider = _yaml("Pulumi.prod.yaml")["secretsprovider"]
    assert f'pulumi stack init prod --secrets-provider="{provider}"' in text
    assert "pulumi login 's3://" in text


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
