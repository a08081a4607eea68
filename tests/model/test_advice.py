"""Whatever a refusal advises is typed as it stands there, each alternative in a fleet of its own: no move of it is refused, and a database
takes writes again.

What is advised may fail over the very fault that was refused; then that is mended, as the refusal says, and what is printed next is typed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from agent.client_rules import with_seal
from agent.journal import Journal
from agent.states import Phase
from scripts.window.course import Course, End, Way
from scripts.window.summary import standing
from tests.model.advised import Command, lines, to_do
from tests.model.cluster import Cluster
from tests.model.engine import Fault, How, Outcome
from tests.model.invariants import journal_of
from tests.model.moves import MADE_BY, Move, Scene, States
from tests.model.operators import ANNOUNCES, Config, Operator
from tests.model.world import Saved

# How often an operator types what is printed next, before that is called a dead end.
DEEP = 3
# What is no refusal of a move: how much would be lost is told before a person gives it up.
ASKED = "acceptDataLoss: true, for the authority was released to DB_A"
BACK = "upgrade, after cutover"
Act = Callable[[Scene], None]


def nothing(scene: Scene) -> None:
    """There is nothing to mend."""


@dataclass
class Typist:
    """Types advice in copies of a fleet. `tolerated` are parts of what is broken by the fault itself; `wrong` is what went wrong."""

    states: States
    mend: Act
    tolerated: tuple[str, ...]

    def try_all(self, scene: Scene, config: Config, outcome: Outcome) -> list[str]:
        """Each alternative of a refusal; what went wrong."""
        assert not outcome.arrived
        advised = to_do(outcome.said)
        if not advised:
            return [f"nothing to type: {outcome.said}"]
        scene.world.violations[:] = []
        saved = Saved.of(scene.world, scene.engine, self.states.folder / f"advice-{next(self.states.numbers)}")
        return [wrong for line in advised for wrong in self._try(saved, config, line, outcome)]

    def _try(self, saved: Saved, config: Config, line: list[Command], before: Outcome) -> list[str]:
        by_preview = bool(before.refused)
        with self.states.again(saved) as scene:
            operator = Operator(scene, config)
            outcome = operator.type(line)
            typed = f"{' && '.join(map(str, line))} after {before.said[:300]}"
            # The preview knows of what the stack finished; what the servers have begun since, they say themselves.
            if operator.refused and ASKED not in operator.refused and not (by_preview and outcome and outcome.failed):
                return [f"refused: {operator.refused[:400]}, typed {typed}"]
            why = self._until_writes(operator, outcome, mended=False)
            words = (*self.tolerated, *(["acknowledged writes are not on db1"] if operator.config.accepted else []))
            broken = [one for one in scene.world.violations if not any(word in one for word in words)]
            return [f"{one}, typed {typed}" for one in [*([why] if why else []), *broken[:2]]]

    def _until_writes(self, operator: Operator, outcome: Outcome | None, *, mended: bool, deep: int = DEEP) -> str:
        """Go on as what is printed says until a database takes writes; "" once one does."""
        scene = operator.scene
        if outcome is not None and not outcome.arrived:
            if deep == 0:
                return f"a dead end: {outcome.said[:500]}"
            if not mended:
                self.mend(scene)
                return self._until_writes(operator, operator.up(), mended=True, deep=deep - 1)
            advised = to_do(outcome.said)
            operator.refused = ""
            following = operator.type(advised[0]) if advised else None
            if not advised or (operator.refused and ASKED not in operator.refused):
                return f"a dead end: {operator.refused[:400]} after {outcome.said[:400]}"
            return self._until_writes(operator, following, mended=True, deep=deep - 1)
        if scene.takes_writes("db1") or scene.takes_writes("db-a"):
            return ""
        if not mended:
            self.mend(scene)
        operator.config = replace(operator.config, phase=Phase.CUTOVER, round=operator.config.round + 1, accepted=False)
        return self._until_writes(operator, operator.up(), mended=True, deep=deep - 1)


def cluster(scene: Scene, name: str) -> Cluster:
    (found,) = scene.world.machines[name].running()
    return found


def stop(name: str) -> Act:
    def act(scene: Scene) -> None:
        for one in scene.world.machines[name].running():
            scene.world.machines[name].stop(one, crash=True)

    return act


def start(name: str) -> Act:
    def act(scene: Scene) -> None:
        scene.world.machines[name].boot()

    return act


def prepared(name: str) -> Act:
    def act(scene: Scene) -> None:
        found = cluster(scene, name)
        found.prepared["left over"] = (found.next_xid, [])
        found.next_xid += 1

    return act


def ended(name: str) -> Act:
    def act(scene: Scene) -> None:
        cluster(scene, name).prepared.clear()

    return act


def another_row(scene: Scene) -> None:
    cluster(scene, "db1").content.add(10**9)


def no_other_row(scene: Scene) -> None:
    cluster(scene, "db1").content.discard(10**9)


def row_in_the_way(scene: Scene) -> None:
    found = cluster(scene, "db1")
    found.in_the_way = True
    found.content.discard(max(found.content))
    (slot,) = cluster(scene, "db-a").logical
    # It has confirmed less than the fence: one record is left to apply.
    new = cluster(scene, "db-a")
    at, ids = next((lsn, ids) for lsn, ids in reversed(new.log) if ids)
    found.content.difference_update(ids)
    new.logical[slot] = at - 1


def no_row_in_the_way(scene: Scene) -> None:
    cluster(scene, "db1").in_the_way = False


def no_slot(scene: Scene) -> None:
    cluster(scene, "db-a").logical.clear()


def unsubscribed(scene: Scene) -> None:
    cluster(scene, "db1").subscription = None
    scene.world.lagging.add("db1")


def promoted(scene: Scene) -> None:
    cluster(scene, "db3").recovery = False


def wrote_behind_the_seal(name: str) -> Act:
    def act(scene: Scene) -> None:
        found = cluster(scene, name)
        found.apply([])

    return act


def rules_edited(scene: Scene) -> None:
    db1, found = scene.world.primary, cluster(scene, "db1")
    file = f"{found.config}/pg_hba.conf"
    db1.put(file, with_seal(db1.text(file), False).encode())


def dead(name: str) -> Act:
    def act(scene: Scene) -> None:
        stop(name)(scene)
        scene.world.unreachable.add(name)

    return act


@dataclass(frozen=True)
class Case:
    """From `state`, once `fault` has befallen it, an `up` to `phase` in `round` is refused with `words`; `mend` mends it."""

    state: str
    fault: Act
    phase: Phase
    round: int
    words: str
    mend: Act = nothing
    without: str = ""
    config: Config | None = None
    tolerated: tuple[str, ...] = ()


NO_READS = ("no PostgreSQL there", "could not be upgraded")
# Somebody writes to the replica that was promoted.
TWO = ("db3", "acknowledged writes are not on")
CASES = {
    "DB_B late": Case(BACK, stop("db2"), Phase.PREPARE, 3, "DB_B to replay", start("db2"), tolerated=NO_READS),
    "another row on the old primary": Case(BACK, another_row, Phase.PREPARE, 3, "every table here equal", no_other_row),
    "a row in the way": Case(BACK, row_in_the_way, Phase.PREPARE, 3, "stopped following", no_row_in_the_way),
    "no slot any more": Case("cutover", no_slot, Phase.UPGRADE, 2, "has no slot on DB_A"),
    "no slot, both sealed": Case(BACK, no_slot, Phase.PREPARE, 3, "has no slot on DB_A"),
    "prepared on DB_A": Case("cutover", prepared("db-a"), Phase.UPGRADE, 2, "the prepared transaction", ended("db-a")),
    "prepared on db1": Case("prepare", prepared("db1"), Phase.READONLY, 1, "the prepared transaction", ended("db1")),
    "promoted, forward": Case("upgrade", promoted, Phase.CUTOVER, 1, "db3 an old replica", stop("db3"), tolerated=TWO),
    "promoted, back": Case("upgrade", promoted, Phase.PREPARE, 2, "db3 an old replica", stop("db3"), tolerated=TWO),
    "written behind db1's seal": Case("upgrade", wrote_behind_the_seal("db1"), Phase.CUTOVER, 1, "nothing written since", tolerated=NO_READS),
    "written behind DB_A's seal": Case(BACK, wrote_behind_the_seal("db-a"), Phase.CUTOVER, 2, "nothing written on DB_A"),
    "rules edited": Case("upgrade", rules_edited, Phase.CUTOVER, 1, "the old primary's seal whole"),
    "DB_A silent": Case(BACK, stop("db-a"), Phase.PREPARE, 3, "to answer the role", start("db-a")),
    "not prepared": Case("new", nothing, Phase.READONLY, 1, "A new stack begins with phase"),
    "DB_A dead in cutover": Case(
        "cutover", dead("db-a"), Phase.PREPARE, 2, "what would be lost", config=Config(Phase.PREPARE, 2, frozenset({"db-a"})),
        tolerated=NO_READS,
    ),
    "DB_A dead in replicas": Case(
        "replicas", dead("db-a"), Phase.PREPARE, 2, "what would be lost", config=Config(Phase.PREPARE, 2, frozenset({"db-a"})),
        tolerated=(*NO_READS, "does not follow DB_A"),
    ),
    "DB_A dead, released": Case(
        "cutover, released", dead("db-a"), Phase.PREPARE, 2, "what would be lost",
        config=Config(Phase.PREPARE, 2, frozenset({"db-a"})), tolerated=NO_READS,
    ),
    "DB_A dead, the wrong phase": Case(
        "cutover", dead("db-a"), Phase.UPGRADE, 2, "is not without DB_A", config=Config(Phase.UPGRADE, 2, frozenset({"db-a"})),
        tolerated=NO_READS,
    ),
    "DB_A called lost and alive": Case(
        "cutover", nothing, Phase.PREPARE, 2, "to answer nobody", dead("db-a"),
        config=Config(Phase.PREPARE, 2, frozenset({"db-a"}), accepted=True), tolerated=NO_READS,
    ),
    "db1 called lost and alive": Case(
        "upgrade", nothing, Phase.CUTOVER, 1, "to answer nobody", dead("db1"),
        config=Config(Phase.CUTOVER, 1, frozenset({"db1"})), tolerated=NO_READS,
    ),
    "a word that is left": Case(
        "prepare", nothing, Phase.READONLY, 1, "true on a way that loses nothing", config=Config(Phase.READONLY, 1, accepted=True)
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_a_refusal_advises_gives_writes_back(states: States, case: Case) -> None:
    """Both databases sealed, and every command that the messages print refused: the night ends with hand work on the journals."""
    with states.begun(case.state, case.without) as scene:
        case.fault(scene)
        config = case.config or Config(case.phase, case.round)
        refused = Operator(scene, config).up()
        assert case.words in refused.said, refused.said
        wrong = Typist(states, case.mend, case.tolerated).try_all(scene, config, refused)
        assert wrong == [], "\n".join(wrong)


def moves_of(scene: Scene) -> list[Config]:
    """Whatever an operator may ask for: each phase, in the round that the servers know and in the next one."""
    seen = max(own.round for own in journals(scene))
    return [Config(phase, round_) for phase in Phase for round_ in (seen, seen + 1)]


def journals(scene: Scene) -> list[Journal]:
    both = (journal_of(machine) for machine in (scene.world.primary, scene.world.target))
    return [own for own in both if own is not None]


def is_refused_move(outcome: Outcome) -> bool:
    return bool(outcome.refused) or any("refused." in outcome.failed.get(name, "") for name in ANNOUNCES)


def each_refused_move(states: States, begun: Saved, tried: set[tuple[object, ...]]) -> list[str]:
    """Ask for every move, and type what the refusals of those that are none advise; what went wrong. `tried`: where the same was asked."""
    with states.again(begun) as scene:
        asked = moves_of(scene)
    wrong = []
    for config in asked:
        with states.again(begun) as scene:
            where = tuple((own.phase, own.authority, own.finished, bool(own.must_apply)) for own in journals(scene))
            outcome = Operator(scene, config).up()
            key = (where, scene.engine.finished and scene.engine.finished[0], re.sub(r"\d+", "", outcome.said))
            if outcome.arrived or not is_refused_move(outcome) or key in tried:
                continue
            tried.add(key)
            found = Typist(states, nothing, ()).try_all(scene, config, outcome)
            wrong += [f"{config.phase} in round {config.round}: {one}" for one in found]
    return wrong


@pytest.mark.parametrize("state", [name for name in MADE_BY if name != "retire"])
def test_a_move_that_is_refused_is_refused_with_one_that_is_not(states: States, state: str) -> None:
    """Whoever mistypes a phase at night types next what the refusal prints."""
    with states.begun(state) as scene:
        saved = Saved.of(scene.world, scene.engine, states.folder / f"advice-{next(states.numbers)}")
    assert each_refused_move(states, saved, set()) == []


BROKEN_OFF = ("db1-announce", "db-a-client-gate", "db1-client-gate", "db1-finish")
ON_THE_WAY_BACK = (
    Move("cutover", Phase.UPGRADE, 2),
    Move("cutover, released", Phase.UPGRADE, 2),
    Move(BACK, Phase.PREPARE, 3),
    Move("upgrade", Phase.CUTOVER, 1),
)


@pytest.mark.parametrize("move", ON_THE_WAY_BACK, ids=str)
def test_from_a_move_that_broke_off_each_refusal_leads_on(states: States, move: Move) -> None:
    """Two steps that cannot be reached, a moment apart, leave journals that nobody has thought of."""
    tried: set[tuple[object, ...]] = set()
    wrong = []
    for step in BROKEN_OFF:
        with states.begun(move.start) as scene:
            scene.up(move.phase, move.round, {step: Fault(How.BEFORE)}, goes_on=0)
            scene.world.violations[:] = []
            saved = Saved.of(scene.world, scene.engine, states.folder / f"advice-{next(states.numbers)}")
        wrong += [f"{step}: {one}" for one in each_refused_move(states, saved, tried)]
    assert wrong == [], "\n".join(wrong)


def test_the_loss_is_accepted_and_gone_back_with_in_one_line(states: States) -> None:
    """`--back` is refused in cutover over a loss, and says: this, typed there."""
    with states.begun("cutover") as scene:
        no_slot(scene)
        operator = Operator(scene, Config(Phase.CUTOVER, 1))
        refused = operator.window_back()
        assert "has no slot on DB_A" in refused.said
        assert scene.takes_writes("db-a")
        (line,) = lines(" ".join(standing(End.OPENED, Course(Way.BACK, Phase.UPGRADE, 2), "db1", "db-a")[3:]))
        gone = operator.type(line)
        assert gone is not None
        assert gone.arrived, gone.said
        assert scene.takes_writes("db1")
        assert not scene.takes_writes("db-a")
