"""docs/preflight.md holds every check, and none that there is not; both sides keep to one shape."""

from __future__ import annotations

import re

import pytest

from agent.check_names import CheckName
from agent.checks.check import Severity as OnServers
from scripts.preflight.outcome import Severity
from tests.preflight.page import PAGE, Told, checks, page


def test_the_page_is_the_checks() -> None:
    """A check that stops the night and stands nowhere leaves its reader alone. `python -m tests.preflight.page` writes it."""
    assert PAGE.read_text() == page()


def test_severities_are_the_same_on_both_sides() -> None:
    assert [one.value for one in Severity] == [one.value for one in OnServers]


@pytest.mark.parametrize("check", checks(), ids=lambda check: check.name.value)
def test_why_and_do_are_clauses(check: Told) -> None:
    """They stand in sentences of the refusal."""
    for text in (check.why, check.do):
        assert text
        assert not text.endswith(".")
        assert not re.search(r"\s{2}|\n", text)
    assert check.name in set(CheckName)
