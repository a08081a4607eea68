"""What clients make on DB_A after `ready` has looked, and before DB_A is sealed: minutes, where servers are drained."""

from __future__ import annotations

import pytest

from agent.states import Phase
from tests.model.moves import Scene, States


def make_a_table_before_the_seal(scene: Scene, round_: int) -> str:
    """Go back from cutover; what was said."""

    def made(step: str) -> None:
        if step == "db-a-client-gate":
            (cluster,) = scene.world.target.running()
            cluster.catalog["table public.late"] = ""

    return scene.up(Phase.UPGRADE, round_, before_step=made).said


@pytest.mark.parametrize("dies", [False, True])
def test_a_table_that_was_made_after_ready_looked(states: States, dies: bool) -> None:
    """The stream does not carry it: it was lost in silence, with all its rows."""
    with states.begun("cutover") as scene:
        said = make_a_table_before_the_seal(scene, 2)
        assert "table public.late was made" in said
        if dies:
            (cluster,) = scene.world.target.running()
            scene.world.target.stop(cluster, crash=True)
            scene.world.target.start(cluster)
        back = scene.up(Phase.CUTOVER, 3)
        assert back.arrived, back.said
        assert scene.takes_writes("db-a")
        again = scene.up(Phase.UPGRADE, 4)
        assert "table public.late was made" in again.said
        (cluster,) = scene.world.target.running()
        del cluster.catalog["table public.late"]
        for phase, round_ in ((Phase.CUTOVER, 5), (Phase.UPGRADE, 6), (Phase.PREPARE, 7)):
            mended = scene.up(phase, round_)
            assert mended.arrived, mended.said
        assert scene.takes_writes("db1")
        assert scene.world.violations == []


@pytest.mark.parametrize("accepted", [False, True])
def test_what_somebody_made_behind_the_seal_is_not_lost_in_silence(states: States, accepted: bool) -> None:
    """DB_A is fenced anew, for its id moved; what was made there is carried by no stream, whatever the fence."""
    with states.begun("upgrade, after cutover") as scene:
        (cluster,) = scene.world.target.running()
        cluster.catalog["table public.late"] = ""
        cluster.apply([])
        again = scene.up(Phase.UPGRADE, 3)
        assert again.arrived, again.said
        if accepted:
            scene.engine.without = "given up"
        back = scene.up(Phase.PREPARE, 4)
        if accepted:
            assert back.arrived, back.said
            assert any("table public.late was made" in one for one in back.facts["db1-client-gate"]["changed"])
            assert scene.takes_writes("db1")
            return
        assert "table public.late was made" in back.said
        assert not scene.takes_writes("db1")
        forward = scene.up(Phase.CUTOVER, 5)
        assert forward.arrived, forward.said
        assert scene.takes_writes("db-a")
        del cluster.catalog["table public.late"]
        for phase, round_ in ((Phase.UPGRADE, 6), (Phase.PREPARE, 7)):
            mended = scene.up(phase, round_)
            assert mended.arrived, mended.said
        assert scene.takes_writes("db1")
        assert scene.world.violations == []


def test_functions_of_another_checkout_are_made_anew_on_the_way_to_readonly(states: States) -> None:
    """pgleap was brought up to date after prepare: DB_A got no slot for a stream back, in any database, and nobody said so before it opened."""
    with states.begun("prepare") as scene:
        (old,), (new,) = scene.world.primary.running(), scene.world.target.running()
        old.catalog["functions"] = new.catalog["functions"] = "pgleap of before"
        for phase, round_ in ((Phase.READONLY, 1), (Phase.UPGRADE, 1), (Phase.CUTOVER, 1)):
            onward = scene.up(phase, round_)
            assert onward.arrived, onward.said
        (new,) = scene.world.target.running()
        assert new.logical
        for phase, round_ in ((Phase.UPGRADE, 2), (Phase.PREPARE, 3)):
            back = scene.up(phase, round_)
            assert back.arrived, back.said
        assert scene.takes_writes("db1")
        assert scene.world.violations == []


def functions_of_before(scene: Scene) -> None:
    """pgleap is brought up to date while DB_A is open."""
    for machine in (scene.world.primary, scene.world.target):
        (cluster,) = machine.running()
        cluster.catalog["functions"] = "pgleap of before"


def test_functions_of_another_checkout_are_told_before_writes_are_refused(states: States) -> None:
    """Both were sealed when it was found that nothing can be compared."""
    with states.begun("cutover") as scene:
        functions_of_before(scene)
        refused = scene.up(Phase.UPGRADE, 2)
        assert "functions of another checkout" in refused.said
        assert scene.takes_writes("db-a")
        assert scene.world.violations == []


def test_functions_of_another_checkout_keep_no_database_sealed(states: States) -> None:
    """Whoever does not know which checkout it was has DB_A open again."""
    with states.begun("upgrade, after cutover") as scene:
        functions_of_before(scene)
        refused = scene.up(Phase.PREPARE, 3)
        assert "to have DB_A open again" in refused.said
        onward = scene.up(Phase.CUTOVER, 4)
        assert onward.arrived, onward.said
        assert scene.takes_writes("db-a")
        assert scene.world.violations == []
