"""The schema trial's dumps of a standby that goes on replaying: what came between is no finding."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent import trial
from agent.cluster import Cluster, from_desired
from agent.postgres import Postgres
from agent.server import Completed
from tests.agent.fake_server import FakeServer

MANY = 9


def cluster(version: int) -> Cluster:
    where = {"layout": "debian", "cluster": "main", "port": 5432, "superuser": "postgres"}
    return from_desired({"version": version, **where})


@pytest.mark.parametrize(
    ("said", "times", "is_found"),
    [
        ("canceling statement due to conflict with recovery", MANY, False),
        ('relation "public.staging_17" does not exist', 1, False),
        ("could not open relation with OID 4711", 2, False),
        ("cache lookup failed for function 4711", MANY, True),
        ("permission denied for table secrets", 1, True),
    ],
)
def test_what_was_dropped_meanwhile_is_dumped_again(tmp_path: Path, said: str, times: int, is_found: bool) -> None:
    """A fleet that makes and drops tables all day is refused its window over one that is gone; what is broken is broken each time."""
    server = FakeServer(tmp_path)
    new = cluster(17)
    left = [Completed(1, "", f"pg_dump: error: query failed: ERROR:  {said}\n")] * times
    server.programs[new.program("pg_dump")] = lambda _: left.pop() if left else Completed(0, "", "")
    tried = trial._Trial(server, Postgres(server, cluster(15), "10.0.0.4"), new, jobs=1, seconds=60)
    found = tried._dump((0, "shop"))
    assert [said in one for one in found] == ([True] if is_found else [])
