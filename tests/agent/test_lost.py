"""A database server that a person calls lost: what the other one may do without it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent import announce, authority, old_replicas
from agent.cluster import from_desired
from agent.journal import Authority, Fence, Journal
from agent.other_side import OtherSide
from agent.postgres import Postgres
from agent.report import Refusal
from agent.server import Completed
from agent.states import Phase
from tests.agent.fake_server import FakeServer

FENCE = Fence(xid=1000, lsn="0/3000000")
SEALED = Journal(Phase.UPGRADE, 4, True, Authority.SEALED, epoch=1, fence=FENCE)
RELEASED = replace(SEALED, phase=Phase.CUTOVER, authority=Authority.RELEASED, epoch=2)
CLUSTER = {"version": 15, "layout": "debian", "cluster": "main", "port": 5432, "superuser": "postgres"}
REPLICAS = {"db2": "10.0.0.12", "db3": "10.0.0.13"}


def back(own: Journal, round_: int, accepted: bool | None) -> Journal:
    return announce.decide(own, Phase.PREPARE, round_, is_target=False, accept_data_loss=accepted)


def test_before_the_release_a_lost_db_a_changes_nothing() -> None:
    """Asking for a word about data that cannot be lost would keep writes refused."""
    assert back(SEALED, 5, accepted=False).phase is Phase.PREPARE
    assert authority.may_open_old_primary(SEALED) == 2


@pytest.mark.parametrize("finished", [True, False])
def test_after_the_release_only_a_persons_word_gives_db_a_up(finished: bool) -> None:
    """DB_A may have opened: what it took would be gone without anybody having said so."""
    own = replace(RELEASED, finished=finished)
    with pytest.raises(
        Refusal,
        match="acceptDataLoss true && pulumi config set phase prepare && pulumi config set round 6 && pulumi up",
    ):
        back(own, 5, accepted=False)
    with pytest.raises(Refusal, match="a higher round than 4"):
        back(own, 4, accepted=True)
    with pytest.raises(Refusal, match="phase upgrade"):
        back(own, 5, accepted=None)
    given_up = back(own, 5, accepted=True)
    assert (given_up.phase, given_up.finished, given_up.authority) == (Phase.PREPARE, False, Authority.RELEASED)
    assert back(given_up, 5, accepted=True) == given_up, "`up` again, in the same round, goes on"
    with pytest.raises(Refusal):
        authority.may_open_old_primary(given_up)
    assert authority.may_open_old_primary(given_up, target_given_up=True) == 3


def test_without_the_old_primary_db_a_opens_only_if_it_was_upgraded() -> None:
    """A standby that opened would hold an unknown part of what was acknowledged."""
    own = Journal(Phase.CUTOVER, 4, False, Authority.NONE, epoch=1, upgraded_at=FENCE)
    assert authority.may_open_without_old_primary(own) == 2
    with pytest.raises(Refusal, match="pulumi config set phase upgrade && pulumi config set round 5 && pulumi up"):
        authority.may_open_without_old_primary(replace(own, upgraded_at=None))


def test_the_fence_that_db_a_remembers_ends_with_the_way_back() -> None:
    """Kept, it would let DB_A be promoted later without what was written since."""
    own = Journal(Phase.READONLY, 4, True, Authority.NONE, epoch=1, fence=FENCE)
    assert announce.decide(own, Phase.PREPARE, 5, is_target=True).fence is None
    assert announce.decide(own, Phase.UPGRADE, 4, is_target=True).fence == FENCE


class Net(FakeServer):
    """A server with others around it: those in `answers` accept connections, and say that of themselves."""

    def __init__(self, root: Path, answers: dict[str, Any]) -> None:
        super().__init__(root)
        self.answers = answers

    def connects(self, address: str, port: int, seconds: float = 2) -> bool:
        return address in self.answers

    def run(self, *argv: str, **how: Any) -> Completed:
        found = self.answers[how["environment"]["PGHOST"]]
        if found is None:
            return Completed(2, "", "FATAL:  the database system is starting up")
        return Completed(0, json.dumps(found), "")


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[Postgres]:
    replicas = {address: {"standby": True, "xid": "1000"} for address in REPLICAS.values()}
    yield Postgres(Net(tmp_path, replicas), from_desired(CLUSTER), "10.0.0.11")


def answers(postgres: Postgres) -> dict[str, Any]:
    assert isinstance(postgres.server, Net)
    return postgres.server.answers


def test_what_is_called_lost_must_not_answer(postgres: Postgres) -> None:
    """A partition looks like a death; two databases would take writes."""
    dead = OtherSide(postgres.server, "db-a", "10.0.0.14", 5432, "psql", lost=True)
    dead.refuse_if_it_answers("pulumi up")
    answers(postgres)["10.0.0.14"] = None
    with pytest.raises(Refusal, match="power it off for good"):
        dead.refuse_if_it_answers("pulumi up")


def test_a_promoted_old_replica_is_seen(postgres: Postgres) -> None:
    """Somebody promoted it while the primary was sealed: it takes writes beside the one that opens."""
    old_replicas.refuse_promoted(REPLICAS, postgres)
    answers(postgres)["10.0.0.13"] = {"standby": False, "xid": "1000"}
    with pytest.raises(Refusal, match="db3 an old replica, in recovery"):
        old_replicas.refuse_promoted(REPLICAS, postgres)


@pytest.mark.parametrize("gone", [True, False])
def test_an_old_replica_that_cannot_be_asked_is_named_and_holds_nobody_up(
    postgres: Postgres, gone: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """Writes must not stay refused because a reader is dead; nor may the other replica go unseen behind it."""
    if gone:
        del answers(postgres)["10.0.0.12"]
    else:
        answers(postgres)["10.0.0.12"] = None
    old_replicas.refuse_promoted(REPLICAS, postgres)
    assert "db2 cannot be asked whether it is still a replica" in capsys.readouterr().err
    answers(postgres)["10.0.0.13"] = {"standby": False, "xid": "1000"}
    with pytest.raises(Refusal, match="db3"):
        old_replicas.refuse_promoted(REPLICAS, postgres)


def test_a_replica_that_knows_of_later_writes_is_the_one_to_promote(postgres: Postgres) -> None:
    """The old primary may have opened again before it died: DB_A would lose what it took then."""
    old_replicas.refuse_ahead(REPLICAS, postgres, FENCE)
    answers(postgres)["10.0.0.12"] = {"standby": True, "xid": "1001"}
    with pytest.raises(Refusal, match="promote db2 by hand"):
        old_replicas.refuse_ahead(REPLICAS, postgres, FENCE)
