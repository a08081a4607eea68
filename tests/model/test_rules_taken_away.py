"""Somebody takes pgleap's whole block out of DB_A's rule files: the next `up` brings it back, whether it was read meanwhile or not."""

from __future__ import annotations

import pytest

from agent.client_rules import SEALED, without_rules
from agent.states import Phase
from tests.model.advised import to_do
from tests.model.moves import Scene, States
from tests.model.operators import Config, Operator

STRANGER = "10.77.0.31"


def taken_away(scene: Scene, file: str, *, read: bool) -> None:
    machine = scene.world.target
    (cluster,) = machine.running()
    path = f"{cluster.config}/{file}"
    machine.put(path, without_rules(machine.text(path)).encode())
    if read:
        machine.reload(cluster)


@pytest.mark.parametrize("read", [False, True], ids=["not read", "read"])
@pytest.mark.parametrize("file", ["pg_hba.conf", "pg_ident.conf"])
@pytest.mark.parametrize(
    ("state", "phase", "round_"),
    [
        ("prepare", Phase.PREPARE, 2),
        ("upgrade", Phase.UPGRADE, 2),
        ("upgrade", Phase.CUTOVER, 1),
        ("cutover", Phase.CUTOVER, 2),
        ("upgrade, after cutover", Phase.UPGRADE, 3),
    ],
    ids=str,
)
def test_it_is_there_again(states: States, state: str, phase: Phase, round_: int, file: str, read: bool) -> None:
    """Root itself does not come in without it: every step on DB_A ended at "Peer authentication failed", and clients came in."""
    with states.begun(state) as scene:
        taken_away(scene, file, read=read)
        scene.world.violations.clear()
        outcome = scene.up(phase, round_)
        assert outcome.arrived, outcome.said
        (cluster,) = scene.world.target.running()
        let_in = cluster.admits("app", STRANGER) is None
        assert let_in is (phase is Phase.CUTOVER), cluster.hba


@pytest.mark.parametrize("read", [False, True], ids=["not read", "read"])
@pytest.mark.parametrize("file", ["pg_hba.conf", "pg_ident.conf"])
@pytest.mark.parametrize(
    ("state", "phase", "round_"), [("prepare", Phase.READONLY, 1), ("cutover", Phase.UPGRADE, 2)], ids=str
)
def test_before_anybody_is_refused_it_is_named(
    states: States, state: str, phase: Phase, round_: int, file: str, read: bool
) -> None:
    """PostgreSQL's own words say neither which file it is nor what to type, and what only looks writes nothing."""
    with states.begun(state) as scene:
        taken_away(scene, file, read=read)
        scene.world.violations.clear()
        refused = scene.up(phase, round_)
        assert "pgleap's block in" in refused.said
        (line,) = to_do(refused.said)
        again = Operator(scene, Config(phase, round_)).type(line)
        assert again is not None
        assert again.arrived, again.said
        on = scene.up(phase, round_ + 3)
        assert on.arrived, on.said


def test_one_that_lets_clients_in_is_sealed_and_fenced_again(states: States) -> None:
    """What was written there meanwhile would be lost if the old primary opened."""
    with states.begun("upgrade, after cutover") as scene:
        taken_away(scene, "pg_hba.conf", read=True)
        refused = scene.up(Phase.PREPARE, 3)
        assert "db-a to refuse clients" in refused.said
        for phase, round_ in ((Phase.UPGRADE, 4), (Phase.PREPARE, 5)):
            outcome = scene.up(phase, round_)
            assert outcome.arrived, outcome.said
        assert scene.takes_writes("db1")


@pytest.mark.parametrize(
    ("state", "phase", "round_", "read"),
    [
        ("cutover", Phase.CUTOVER, 2, False),
        ("cutover", Phase.CUTOVER, 2, True),
        ("cutover", Phase.UPGRADE, 2, True),
        ("replicas", Phase.REPLICAS, 2, False),
        ("replicas", Phase.REPLICAS, 2, True),
        ("replicas", Phase.RETIRE, 1, False),
    ],
    ids=str,
)
def test_an_old_primary_that_lets_clients_in_beside_db_a_is_sealed_again(
    states: States, state: str, phase: Phase, round_: int, read: bool
) -> None:
    """Somebody's tool writes its rules anew: they were read as it left them, and from replicas the way that was advised, over upgrade, is none."""
    with states.begun(state) as scene:
        of_the_old_primary(scene, read=read)
        scene.world.violations.clear()
        outcome = scene.up(phase, round_)
        assert not any(one.admits("app", STRANGER) is None for one in scene.world.primary.running())
        assert outcome.arrived, outcome.said
        assert scene.takes_writes("db-a") is (phase is not Phase.UPGRADE)
        assert not scene.takes_writes("db1")


@pytest.mark.parametrize("read", [False, True], ids=["not read", "read"])
def test_of_an_old_primary_that_is_sealed(states: States, read: bool) -> None:
    """Its gate makes the seal whole, and takes a new fence: looked at as an open one it would be sent back to prepare."""
    with states.begun("readonly") as scene:
        of_the_old_primary(scene, read=read)
        scene.world.violations.clear()
        outcome = scene.up(Phase.READONLY, 2)
        assert outcome.arrived, outcome.said
        assert not any(one.admits("app", STRANGER) is None for one in scene.world.primary.running())


@pytest.mark.parametrize(
    ("state", "phase", "read"),
    [("prepare", Phase.READONLY, False), ("prepare", Phase.READONLY, True), ("replicas", Phase.RETIRE, True)],
    ids=str,
)
def test_of_an_old_primary_before_anything_is_done(states: States, state: str, phase: Phase, read: bool) -> None:
    """PostgreSQL's own words say neither which file it is nor what to type."""
    with states.begun(state) as scene:
        of_the_old_primary(scene, read=read)
        refused = scene.up(phase, 1)
        assert "pgleap's block in" in refused.said, refused.said
        (line,) = to_do(refused.said)
        again = Operator(scene, Config(phase, 1)).type(line)
        assert again is not None
        assert again.arrived, again.said
        on = scene.up(phase, 4)
        assert on.arrived, on.said


def of_the_old_primary(scene: Scene, *, read: bool) -> None:
    db1 = scene.world.primary
    (cluster,) = db1.running()
    file = f"{cluster.config}/pg_hba.conf"
    db1.put(file, without_rules(db1.text(file)).encode())
    if read:
        db1.reload(cluster)


@pytest.mark.parametrize(
    ("state", "phase"), [("upgrade", Phase.CUTOVER), ("cutover, released", Phase.CUTOVER)], ids=str
)
def test_a_seal_that_somebody_commented_out_is_not_read(states: States, state: str, phase: Phase) -> None:
    """The block is written as it should be, and that was read: pgleap itself let clients in, and refused over it then."""
    with states.begun(state) as scene:
        db1 = scene.world.primary
        (cluster,) = db1.running()
        file = f"{cluster.config}/pg_hba.conf"
        commented = "".join(f"# {line}\n" for line in SEALED.splitlines())
        assert SEALED in db1.text(file)
        db1.put(file, db1.text(file).replace(SEALED, commented).encode())
        scene.world.violations.clear()
        scene.up(phase, 2)
        assert not any(one.admits("app", STRANGER) is None for one in db1.running())
        assert not scene.world.violations
