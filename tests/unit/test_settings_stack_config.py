"""The stack config as Pulumi hands it over: JSON and text in, settings and a secret password out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pulumi
import pytest
from pulumi.runtime import config as runtime_config
from pulumi.runtime import set_all_config

from components.settings import Settings
from components.stack_config import load
from tests.unit.example_config import config


@pytest.fixture(autouse=True)
def _config_of_its_own() -> Iterator[None]:
    token, secrets = runtime_config.CONFIG.set({}), runtime_config._SECRET_KEYS.set(set())
    yield
    runtime_config.CONFIG.reset(token)
    runtime_config._SECRET_KEYS.reset(secrets)


def hand_over(
    given: dict[str, Any], secrets: tuple[str, ...] = ("pgleap:password", "pgleap:replicationPassword")
) -> None:
    """As the engine does: everything is text, objects are JSON, other namespaces are there too."""
    text = {f"pgleap:{key}": value if isinstance(value, str) else json.dumps(value) for key, value in given.items()}
    set_all_config({**text, "aws:region": "eu-west-1"}, list(secrets))


async def loaded() -> tuple[Settings, bool, str | None]:
    """The settings, and the password as an output: whether it is a secret, and what it is."""
    found = load()
    password = found.secrets.password
    return found.settings, await password.is_secret(), await password.future()


def test_a_good_stack_is_loaded_and_its_password_is_a_secret() -> None:
    """A password that is no secret output stands in the state and in every preview in plain text."""
    hand_over(config())
    settings, is_secret, password = asyncio.run(loaded())
    assert settings.primary.name == "db1"
    assert (is_secret, password) == (True, "correct horse")


def test_a_mistyped_key_is_found() -> None:
    """pulumi.Config asks for known keys only, so that a mistyped one would be passed over in silence."""
    hand_over({**config(), "limit": {"lagBytes": 1}})
    with pytest.raises(pulumi.RunError, match=r'pgleap:limit: unknown key; did you mean "limits"\?'):
        load()


def test_a_password_in_plain_text_is_refused_with_the_other_mistakes() -> None:
    """Pulumi encrypts only what it is told to; a plain password is in the repository for good."""
    hand_over({**config(), "readsFrom": "db1"}, secrets=())
    with pytest.raises(pulumi.RunError, match="plain text") as refused:
        load()
    assert "pgleap:readsFrom" in str(refused.value)
    assert "correct horse" not in str(refused.value)


def test_a_password_with_a_line_end_is_refused() -> None:
    """Pasted with its line end, it would be cut where it is written to a file, and every login would fail."""
    hand_over({**config(), "password": "correct\nhorse"})
    with pytest.raises(pulumi.RunError, match="control characters"):
        load()


def test_a_key_file_that_is_not_there_is_refused_with_the_other_mistakes(tmp_path: Path) -> None:
    """The first step would fail on every server, in the words of an SSH library."""
    given = config()
    given["ssh"]["privateKeyFile"] = str(tmp_path / "id")
    hand_over({**given, "readsFrom": "db1"})
    with pytest.raises(pulumi.RunError, match="there is no file") as refused:
        load()
    assert "pgleap:readsFrom" in str(refused.value)
    (tmp_path / "id").write_text("key")
    hand_over(given)
    assert asyncio.run(loaded())[0].ssh.private_key_file == tmp_path / "id"


def test_a_stack_without_config_gets_the_first_commands() -> None:
    """What a new stack is told is the first thing anybody sees of pgleap."""
    hand_over({"phase": "", "servers": {}})
    with pytest.raises(pulumi.RunError, match="pulumi config set phase prepare"):
        load()


def test_broken_json_is_a_mistake_and_no_crash() -> None:
    """Someone set an object as text and forgot a brace: the path says where."""
    hand_over({**config(), "versions": "{old: 15"})
    with pytest.raises(pulumi.RunError, match=r"pgleap:versions: .* is not a map"):
        load()
