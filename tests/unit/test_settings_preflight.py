"""What a stack accepts of preflight: by a check's name, with a reason."""

from __future__ import annotations

from typing import Any

import pytest

from agent.check_names import CheckName
from components.config_errors import SettingsError
from components.settings import Settings
from tests.unit.example_config import config


def settings(accept: Any) -> Settings:
    return Settings.from_config({**config(), "preflight": {"accept": accept}})


def test_nothing_is_accepted_by_itself() -> None:
    """A default that accepts would hide what stops the night."""
    assert Settings.from_config(config()).preflight.accept == {}


def test_a_check_is_accepted_with_its_reason() -> None:
    assert settings({"unlogged-tables": "caches"}).preflight.accept == {CheckName.UNLOGGED_TABLES: "caches"}


@pytest.mark.parametrize(
    ("accept", "path", "words"),
    [
        ({"unloged-tables": "caches"}, "pgleap:preflight.accept.unloged-tables", 'did you mean "unlogged-tables"?'),
        ({"unlogged-tables": "  "}, "pgleap:preflight.accept.unlogged-tables", "is empty; say why it is accepted"),
        ({"unlogged-tables": None}, "pgleap:preflight.accept.unlogged-tables", "is not text"),
        ({"unlogged-tables": True}, "pgleap:preflight.accept.unlogged-tables", "is not text"),
        ({"unlogged-tables": "a\nb"}, "pgleap:preflight.accept.unlogged-tables", "control characters"),
        (["unlogged-tables"], "pgleap:preflight.accept", "is not a map of keys and values"),
    ],
)  # fmt: skip
def test_a_mistake_names_its_path(accept: Any, path: str, words: str) -> None:
    """A name that is mistyped accepts nothing, and the refusal comes on the night; a reason that is missing is nobody's reason."""
    with pytest.raises(SettingsError) as error:
        settings(accept)
    (mistake,) = error.value.mistakes
    assert mistake.startswith(f"{path}: ")
    assert words in mistake


def test_an_unknown_name_is_told_in_one_line() -> None:
    """Sixty names in an error are sixty names to read."""
    with pytest.raises(SettingsError) as error:
        settings({"nothing-like-it-at-all": "why not"})
    assert "docs/preflight.md lists them" in error.value.mistakes[0]
    assert len(error.value.mistakes[0]) < 200
