"""The transaction by which DB_A uses the old primary's release up, before its first client, on real servers of each version there is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from agent import functions, older_image, seal
from tests.agent.serving import MARKS, Serving, serving
from tests.preflight.databases import BINARIES

pytestmark = MARKS


@pytest.fixture(scope="module", params=BINARIES, ids=lambda one: one.parent.name)
def server(request: pytest.FixtureRequest) -> Iterator[Serving]:
    with pytest.MonkeyPatch.context() as patch:
        yield from serving(request.param, patch)


def test_it_takes_an_id_of_a_sealed_old_primary_and_is_there_after_a_crash(server: Serving) -> None:
    """An id that is taken in memory alone is given out once more after a crash, and an older image of DB_A opens at that fence again."""
    functions.make(server.postgres, "postgres")
    server.sql("ALTER SYSTEM SET default_transaction_read_only = on")
    # Whoever waits for a replica that is gone would wait while writes are refused everywhere.
    server.sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    server.sql("ALTER SYSTEM SET autovacuum = off")
    server.sql("SELECT pg_reload_conf()")
    with server.session() as session:
        session.say("SELECT pg_sleep(1)")
    fence = seal.next_xid(server.postgres)
    assert server.other_side().next_xid() == fence
    older_image.use_up(server.other_side())
    server.database.stop()
    server.database.start()
    assert seal.next_xid(server.postgres) == fence + 1
