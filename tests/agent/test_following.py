"""Standbys replay what the primary wrote a moment ago, or are refused with what stops them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from agent import following
from agent.other_side import OtherSide
from agent.report import Refusal
from tests.agent.two_sides import NEEDS_POSTGRESQL, Side, Sides, two_sides
from tests.preflight.databases import Database
from tests.preflight.standbys import set_to, standby_of

EQUAL = dict.fromkeys(following.NO_LESS, "100")


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"paused": False, "stops": {"recovery_min_apply_delay": "0", "recovery_target": ""}, "has": EQUAL}, []),
        (
            {"paused": False, "stops": {"recovery_target_time": "2024-01-01"}, "has": EQUAL},
            ["has recovery_target_time = 2024-01-01"],
        ),
        ({"paused": True, "stops": {}, "has": EQUAL}, ["has its replay paused: SELECT pg_wal_replay_resume()"]),
        (
            {"paused": True, "stops": {}, "has": {**EQUAL, "max_connections": "50"}},
            ["has max_connections = 50, less than the primary's 100"],
        ),
    ],
)
def test_what_stops_a_standby_is_named(told: dict[str, object], said: list[str]) -> None:
    """Resumed with fewer connections than its primary a standby shuts down: that advice would cost DB_B."""
    assert following.reasons(told, EQUAL) == said


@pytest.fixture(scope="module")
def sides() -> Iterator[Sides]:
    """A primary of each version."""
    with two_sides() as found:
        yield found


def at_port_of(standby: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """On one machine it cannot listen where its primary does, as it would on a server of its own."""

    def there(server: Any, name: str, address: str, _: int, psql: str) -> OtherSide:
        return OtherSide(server, name, address, standby.port, psql)

    monkeypatch.setattr(following, "OtherSide", there)


@pytest.mark.parametrize("version", ["old", "new"])
class TestStandby:
    """One of each version, beside a primary on which nobody else writes."""

    pytestmark = NEEDS_POSTGRESQL

    def test_one_that_replays_is_let_through_at_once(
        self, sides: Sides, version: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What cannot be reached on a quiet primary would keep every window from beginning."""
        side: Side = getattr(sides, version)
        with standby_of(side.database, side.database.folder / "level") as standby:
            at_port_of(standby, monkeypatch)
            for _ in range(3):
                assert following.refuse_late(side.postgres, {"db2": "127.0.0.1"}, 3, "") == {"db2": 0}

    @pytest.mark.parametrize(
        ("settings", "said"),
        [
            ({"recovery_min_apply_delay": "10min"}, "db2 has recovery_min_apply_delay = 600000"),
            ({}, "db2 has its replay paused"),
        ],
        ids=["delayed", "paused"],
    )
    def test_one_that_streams_and_does_not_replay_is_refused(
        self, sides: Sides, version: str, settings: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It was some bytes behind, under every limit, and would have been for as long as writes were refused."""
        side: Side = getattr(sides, version)
        with standby_of(side.database, side.database.folder / f"late-{len(settings)}") as standby:
            at_port_of(standby, monkeypatch)
            by_socket = replace(
                standby, folder=side.database.folder
            )  # it has its primary's settings, and so its sockets
            if settings:
                set_to(by_socket, **settings)
            else:
                by_socket.sql("SELECT pg_wal_replay_pause()")
            with pytest.raises(Refusal, match="bytes behind") as refused:
                following.refuse_late(side.postgres, {"db2": "127.0.0.1"}, 1, "")
            assert said in refused.value.found

    def test_one_that_does_not_stream_is_refused(self, sides: Sides, version: str) -> None:
        """Nobody streams from there."""
        side: Side = getattr(sides, version)
        with pytest.raises(Refusal, match="does not stream"):
            following.refuse_late(side.postgres, {"db2": "127.0.0.1"}, 0.2, "")
