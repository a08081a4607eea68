"""Every pair of journals that faults can leave: wherever a move is refused, one that is advised is accepted, and writes can come back.

The steps are their decisions alone (agent/announce.py, agent/authority.py), in the order of components/order.py.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from agent import announce, authority
from agent.journal import Authority, Fence, Journal
from agent.report import Refusal
from agent.states import Phase
from components.phases import MoveRefusedError, check_move
from tests.model.advised import Command, lines

OLD, NEW = Fence(1, "0/1"), Fence(9, "0/9")
STEPS: dict[Phase, tuple[str, ...]] = {
    Phase.PREPARE: ("announce old", "open old", "announce new", "rebuild new", "finish"),
    Phase.READONLY: ("announce new", "announce old", "seal old", "finish"),
    Phase.UPGRADE: ("announce new", "announce old", "seal new", "seal old", "upgrade new", "finish"),
    Phase.CUTOVER: ("announce new", "announce old", "upgrade new", "release old", "open new", "finish"),
    Phase.REPLICAS: ("announce new", "announce old", "finish"),
}


@dataclass(frozen=True)
class Fleet:
    """The two journals, and the phase and round that the stack finished last."""

    old: Journal
    new: Journal
    finished: Phase
    round: int

    @property
    def key(self) -> tuple[object, ...]:
        """All but the numbers themselves: how rounds and epochs stand to one another."""
        old, new = self.old, self.new
        sides = (
            (one.phase, one.finished, one.authority, one.fence, one.must_apply, one.upgraded_at) for one in (old, new)
        )
        order = ((old.round > new.round) - (old.round < new.round), old.round > self.round, old.epoch > new.renounced)
        return (*sides, *order, self.finished)

    @property
    def seen(self) -> int:
        return max(self.old.round, self.new.round, self.round)

    def step(self, name: str, phase: Phase, round_: int) -> Fleet:
        """Raises Refusal."""
        what, side = name.split(maxsplit=1)[0], name.rsplit(maxsplit=1)[-1]
        if what == "announce":
            own = announce.decide(getattr(self, side), phase, round_, is_target=side == "new")
        elif what == "finish":
            return Fleet(replace(self.old, finished=True), replace(self.new, finished=True), phase, round_)
        elif side == "old":
            own = self._old_gate(what)
        else:
            own = self._gate(what == "open") if what in ("seal", "open") else self._database(what)
        return replace(self, old=own) if side == "old" else replace(self, new=own)

    def _old_gate(self, what: str) -> Journal:
        old, new = self.old, self.new
        if what == "open":
            epoch = authority.may_open_old_primary(old)
            if old.must_apply is not None:
                authority.refuse_unless_sealed_at(old, old.must_apply, new)
            return replace(old, authority=Authority.HOLDS, epoch=epoch, fence=None, must_apply=None)
        if what == "release":
            if old.authority is Authority.RELEASED:
                return old
            authority.may_release(old, OLD.xid, new)
            return replace(old, authority=Authority.RELEASED, epoch=old.epoch + 1, must_apply=None)
        if old.authority is Authority.RELEASED:
            epoch = authority.may_take_back(old, new)
            must_apply = new.fence if new.authority is Authority.SEALED else None
            return replace(old, authority=Authority.SEALED, epoch=epoch, must_apply=must_apply)
        if old.must_apply is not None:
            return replace(old, must_apply=new.fence)
        return replace(old, authority=Authority.SEALED, fence=OLD)

    def _database(self, what: str) -> Journal:
        old, new = self.old, self.new
        if what == "upgrade":
            return new if new.upgraded_at else replace(new, upgraded_at=authority.proven(old, OLD.xid))
        if new.authority is Authority.SEALED:
            authority.refuse_unless_it_holds(old)
        return replace(new, authority=Authority.NONE, fence=None, upgraded_at=None)

    def _gate(self, is_open: bool) -> Journal:
        old, new = self.old, self.new
        if is_open:
            if new.authority is Authority.HOLDS:
                return new
            again = new.authority is Authority.SEALED
            epoch = (
                authority.may_open_again(new, old, NEW.xid)
                if again
                else authority.may_open_upgrade_target(new, old, OLD.xid)
            )
            return replace(new, authority=Authority.HOLDS, epoch=epoch, fence=None)
        if (new.authority is Authority.HOLDS and new.phase is Phase.UPGRADE) or new.authority is Authority.SEALED:
            new = replace(new, authority=Authority.SEALED, fence=NEW, renounced=max(new.epoch, new.renounced))
        authority.refuse_to_seal_open_target(new)
        released = new.upgraded_at is not None and old.authority is Authority.RELEASED
        return replace(new, renounced=max(new.renounced, old.epoch)) if released else new

    def up(self, phase: Phase, round_: int, steps: int = 99) -> tuple[Fleet, str, bool]:
        """The fleet after so many steps; what was refused, and whether that was a move."""
        try:
            check_move(self.finished, self.round, phase, round_)
        except MoveRefusedError as refused:
            return self, str(refused), True
        fleet = self
        for name in STEPS[phase][:steps]:
            try:
                fleet = fleet.step(name, phase, round_)
            except Refusal as refused:
                return fleet, str(refused), name.startswith("announce")
        return fleet, "", False

    @property
    def takes_writes(self) -> bool:
        return Authority.HOLDS in (self.old.authority, self.new.authority)


BEGUN = Fleet(
    Journal(Phase.PREPARE, 1, True, Authority.HOLDS, 1),
    Journal(Phase.PREPARE, 1, True, Authority.NONE, 0),
    Phase.PREPARE,
    1,
)


def reachable() -> list[Fleet]:
    """Every fleet that some `up`, each broken off after any of its steps, can leave."""
    found = {BEGUN.key: BEGUN}
    edge = [BEGUN]
    while edge:
        following = []
        for fleet in edge:
            for phase, steps in STEPS.items():
                for round_ in (fleet.seen, fleet.seen + 1):
                    for number in range(1, len(steps) + 1):
                        left, _, _ = fleet.up(phase, round_, number)
                        if left.key not in found:
                            found[left.key] = left
                            following.append(left)
        edge = following
    return list(found.values())


def typed(fleet: Fleet, line: list[Command]) -> tuple[Fleet, str, bool]:
    """A command line, typed where the config asks for nothing else."""
    phase, round_, said, is_move = fleet.finished, fleet.round, "", False
    for command in line:
        if command.key == "phase":
            phase = Phase(command.value)
        elif command.key == "round":
            round_ = int(command.value)
        elif command.what == "up":
            fleet, said, is_move = fleet.up(phase, round_)
            if said:
                break
    return fleet, said, is_move


def leads_on(fleet: Fleet, said: str, deep: int = 3) -> bool:
    """Whether what is advised, and what its refusals advise, gives writes back."""
    for line in lines(said.partition("To do: ")[2]):
        left, again, _ = typed(fleet, line)
        if left.takes_writes or (again and deep and leads_on(left, again, deep - 1)):
            return True
    return False


FLEETS = reachable()


def test_faults_leave_many_pairs() -> None:
    """Were they few, the tests below would hold little."""
    assert len(FLEETS) > 50


def test_wherever_servers_refuse_a_move_one_that_they_advise_is_accepted() -> None:
    """The journals of both sides decide, each by itself. What one advises the other may refuse only where it cannot know better, and then
    with a command that is accepted."""
    wrong = []
    for fleet in FLEETS:
        for phase in STEPS:
            for round_ in (fleet.seen, fleet.seen + 1):
                left, said, is_move = fleet.up(phase, round_)
                if not is_move:
                    continue
                advised = lines(said.partition("To do: ")[2])
                accepted = [line for line in advised if not typed(left, line)[2]]
                if not accepted and not leads_on(left, said, deep=1 if said.startswith("refused.") else 3):
                    wrong.append(f"{fleet.key}, {phase} in {round_ - fleet.seen}: {said}")
    assert wrong == [], f"{len(wrong)}:\n" + "\n".join(wrong[:5])


def test_from_wherever_nobody_takes_writes_some_move_leads_out() -> None:
    """A night that ends with both sealed, and no command left."""
    stuck = []
    for fleet in FLEETS:
        if fleet.takes_writes:
            continue
        ways = (fleet.up(phase, fleet.seen + 1) for phase in (Phase.PREPARE, Phase.UPGRADE, Phase.CUTOVER))
        if not any(left.takes_writes or leads_on(left, said) for left, said, _ in ways):
            stuck.append(str(fleet))
    assert stuck == [], f"{len(stuck)}:\n" + "\n".join(stuck[:5])
