"""Where the engine's state is kept, as preflight tells of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scripts.preflight.outcome import Fleet
from scripts.preflight.report import Row, Status, report
from tests.preflight.answers import FakeFleet


def row(backend: str = "", unseen: str = "") -> Row:
    fake = FakeFleet()
    seen = Fleet(fake.settings, fake.said, fake.made, fake.bastion, fake.balancing)
    (found,) = (
        row
        for row in report(replace(seen, backend=backend, backend_unseen=unseen), 1.0).rows
        if row.name.value == "state"
    )
    return found


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("file:///srv/pgleap", Status.REFUSE),
        ("file:///srv/pgleap?metadata=skip", Status.OK),
        ("s3://bucket", Status.OK),
    ],
)
def test_a_state_in_files(url: str, status: Status) -> None:
    """Found out when the engine was killed in the window, it costs the state."""
    assert row(backend=url).status is status


def test_what_to_do_is_the_whole_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PULUMI_BACKEND_URL", raising=False)
    (said,) = row(backend="file:///srv/pgleap").outcome.found["operator's machine"]
    assert said.endswith("pulumi login 'file:///srv/pgleap?metadata=skip'")


def test_a_backend_that_does_not_answer() -> None:
    """No row would be taken for an ok."""
    found = row(unseen="error: not logged in")
    assert (found.status, found.outcome.unseen) == (
        Status.NOT_CHECKED,
        {"operator's machine": "error: not logged in"},
    )
