"""The drill: it makes every fault and every way back, goes on after one that failed, and says in the end which did."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from types import SimpleNamespace
from typing import Any, cast

import pytest
from rich.console import Console

from rehearsal import rehearse
from rehearsal.drill import drill, practice
from rehearsal.drill.drill import Drilled
from rehearsal.drill.exercises import EXERCISES, Exercise
from rehearsal.drill.expect import WrongError, expect, refusal, until
from rehearsal.drill.night import Night
from rehearsal.drill.operator import Ended
from rehearsal.drill.story import Fault, Practice, Row, Stories, Story, row
from rehearsal.lab.fleet import ORDINARY
from rehearsal.report.model import Comparison
from rehearsal.traffic.ledger import Reconciliation
from rehearsal.traffic.log import Operation
from tests.report import made_up


class FakeHost:
    def __init__(self, said: list[str], name: str) -> None:
        self.said, self.name = said, name

    def boot(self) -> None:
        self.said.append(f"boot {self.name}")


class FakeNight:
    """A fleet of which only the phase is known: the operator, the stage and the night in one. `breaks` is the phase that `up` fails to reach."""

    def __init__(self, phase: str | None = None, *, finished: bool = True, breaks: str | None = None) -> None:
        self.phase, self.done, self.breaks = phase, finished, breaks
        self.said: list[str] = []
        self.operator = self.stage = self.lab = self
        self.hosts = {"db1": FakeHost(self.said, "db1")}
        self.fleet, self.online, self.restored = ORDINARY, ORDINARY.online, ()

    def stands(self) -> tuple[str, bool] | None:
        return None if self.phase is None else (self.phase, self.done)

    def up(self, phase: str, *, higher: bool = False) -> Ended:
        self.said.append(f"up {phase}{' higher' if higher else ''}")
        if phase == self.breaks:
            raise WrongError(f"{phase} did not come")
        self.phase, self.done = phase, True
        return Ended(0, (), 0.0)

    def window(self, *options: str) -> FakeNight:
        self.said.append(f"window {' '.join(options)}")
        self.phase, self.done = "prepare", True
        return self

    def end(self) -> Ended:
        return Ended(0, (), 0.0)

    def limit(self, **limits: int) -> None: ...

    def settle(self) -> None:
        self.said.append("settle")


def fake(phase: str | None = None, **more: Any) -> tuple[Night, list[str]]:
    made = FakeNight(phase, **more)
    return cast(Night, made), made.said


def test_everything_is_practised_once() -> None:
    """A fault or a way back that no exercise makes would be missing in silence."""
    told = [one for exercise in EXERCISES for one in exercise.tells]
    assert sorted(told) == sorted([*Fault, *Practice])
    assert [exercise.begins for exercise in EXERCISES].count(None) == 1
    assert EXERCISES[0].begins is None, "the only one that wants a fleet without pgleap"


MEND = ["settle", "boot db1", "window --back", "up prepare higher"]


@pytest.mark.parametrize(
    ("phase", "finished", "wanted", "done"),
    [
        (None, True, None, []),
        (None, True, "prepare", ["up prepare"]),
        ("prepare", True, "prepare", []),
        ("prepare", True, "cutover", ["up prepare higher", "up readonly", "up upgrade", "up cutover"]),
        ("readonly", True, "upgrade", ["up upgrade"]),
        ("upgrade", True, "readonly", [*MEND, "up readonly"]),
        ("cutover", False, "cutover", [*MEND, "up readonly", "up upgrade", "up cutover"]),
        ("readonly", False, "prepare", MEND),
    ],
)
def test_the_fleet_is_brought_to_where_an_exercise_begins(
    phase: str | None, finished: bool, wanted: str | None, done: list[str]
) -> None:
    """An exercise that begins elsewhere than it thinks proves something else than it says."""
    night, said = fake(phase, finished=finished)
    practice.stand(night, wanted)
    assert said == done


def exercise(told: Fault, do: Callable[[], None], begins: str | None = "prepare") -> Exercise:
    return Exercise((told,), lambda _night, _judged: do(), begins)


def fails() -> None:
    raise WrongError("expected writes to be accepted by db1, found nobody")


def breaks() -> None:
    raise RuntimeError


def test_a_drill_goes_on_after_a_failure_and_says_which_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A drill that ends at the first failure tells an hour later of one fault, and of the other twenty nothing."""
    monkeypatch.setattr(drill, "QUIET_SECONDS", 0)
    monkeypatch.setattr(drill, "_to_the_end", lambda *_: None)
    monkeypatch.setattr(drill, "_judge", lambda *_: None)
    done: list[str] = []
    lines: list[str] = []
    night, _ = fake("prepare", breaks="cutover")
    drilled = drill.drill(
        night,
        lines.append,
        [
            exercise(Fault.LAG_BEFORE, fails),
            exercise(Fault.OLD_SESSIONS, lambda: done.append("second")),
            exercise(Fault.NETWORK_CUT_AT_CUTOVER, lambda: done.append("never"), begins="cutover"),
            exercise(Fault.MUTE_AT_READONLY, breaks),
        ],
    )
    assert done == ["second"]
    assert drilled.failed == {
        Fault.LAG_BEFORE.value: "expected writes to be accepted by db1, found nobody",
        Fault.NETWORK_CUT_AT_CUTOVER.value: "could not begin: cutover did not come",
        Fault.MUTE_AT_READONLY.value: "RuntimeError",
    }
    assert len(drilled.complaints()) == 3
    assert len(drilled.seconds) == 4
    assert [line for line in lines if "passed" in line] == ["2 of 4: passed, 0 s"]
    printed = StringIO()
    drill.show(drilled, Console(width=200, file=printed))
    assert "1 of 4 exercises passed" in printed.getvalue()


def test_tables_that_differ_fail_a_drill_that_went_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every exercise may look well while the upgrade loses a table."""
    monkeypatch.setattr(drill, "QUIET_SECONDS", 0)
    monkeypatch.setattr(drill, "_to_the_end", lambda *_: None)
    monkeypatch.setattr(drill, "_judge", lambda *_: None)

    def compare(_night: Night, judged: rehearse.Judgement) -> None:
        judged.comparison = Comparison(
            began=0, ended=1, differing=["shop: table public.a differs"], emptied=[], objects=0
        )

    night, _ = fake("prepare")
    drilled = drill.drill(night, lambda _: None, [Exercise((Practice.FROM_UPGRADE,), compare, "prepare")])
    assert drilled.complaints() == ["shop: table public.a differs"]


def test_the_figures_are_in_the_report() -> None:
    """An exercise that failed, or what pgleap said to it, is not on the page, and the drill looks as if it had passed."""
    one = Row("a fault", ["refused"], 12, 0, 30, 0, {}, ["BACK"], 3.2, 41.0, 5.5)
    drilled = Drilled(rows=[one], seconds={"a fault": 42.0, "another": 3.0}, failed={"another": "why"}, lost=0)
    found = made_up.report(drilled)
    assert found.drill is not None
    assert not found.passed
    assert found.drill.complaints == ["another: why"]
    assert found.drill.asked == 2
    assert found.drill.exercises[0].model_dump() == {
        "name": "a fault", "refused": ["refused"], "acknowledged": 12, "lost": 0, "reads": 30, "read_errors": 0,
        "explained": {}, "repaired": ["BACK"], "back": 3.2, "seconds": 41.0, "writes_refused": 5.5, "forward": None,
    }  # fmt: skip


def operation(server: str, start: float, *, ok: bool = True, kind: str = "write") -> Operation:
    given: dict[str, Any] = {"client": "connect", "name": "db1", "database": "shop", "ok": ok, "kind": kind}
    return Operation(server=server, start=start, end=start + 0.1, outcome="acknowledged" if ok else "failed", **given)


def test_the_writes_that_were_refused_are_measured_on_the_online_servers() -> None:
    """Without it a way back of minutes and one of seconds look the same."""
    story = Story(Practice.FROM_READONLY, since=10, until=30)
    writes = [operation("web1", at, ok=not 12 <= at < 17) for at in range(11, 25)]
    told = row(story, Stories([story]), writes, Reconciliation(), ["web1"])
    assert told.writes_refused == pytest.approx(5.1)
    assert told.seconds == 20
    silent = row(story, Stories([story]), writes, Reconciliation(), ["web1", "web2"])
    assert silent.writes_refused is None


def test_what_broke_off_still_explains_the_reads_of_its_own_server() -> None:
    """Reads of a server that was taken off the network would be called pgleap's, because the exercise failed later."""
    stories = Stories()
    with pytest.raises(WrongError), stories.tell(Fault.UNREACHABLE_AT_READONLY) as story:
        story.explained.add("web2")
        story.since = 10
        fails()
    assert (stories.told, stories.broken) == ([], [story])
    assert stories.explain(operation("web2", 11, ok=False, kind="read"))
    assert not stories.explain(operation("web1", 11, ok=False, kind="read"))
    assert not stories.are_whole()


def test_what_was_expected_and_found_is_said() -> None:
    """Outside of pytest a bare assertion says nothing at all."""
    expect(True, "never said")
    with pytest.raises(WrongError, match="it rains"):
        expect(False, "it rains")
    with pytest.raises(WrongError, match="expected a refusal of a walk"):
        refusal(ValueError, lambda: None, "a walk")
    assert refusal(ValueError, lambda: int("x"), "a word").startswith("invalid literal")
    with pytest.raises(WrongError, match=r"expected the sun within 0 s"):
        until(lambda: False, "the sun", seconds=0)


def test_a_way_back_from_a_db_a_that_takes_writes_is_over_once_the_old_primary_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """DB_A takes writes until it is sealed: by the first one accepted, every way back from cutover takes no time at all."""
    seen = [replace(operation("web1", at), address=address) for at, address in ((11, "db-a's"), (25, "db1's"))]
    monkeypatch.setattr(Night, "_glance", lambda *_: seen)
    there = SimpleNamespace(fleet=SimpleNamespace(online=("web1",)), lab=SimpleNamespace(host=lambda name: name))
    night = Night(cast("Any", there), cast("Any", None), cast("Any", None), report=lambda _: None)
    story, ended = Story(Practice.FROM_CUTOVER, since=10), Ended(0, (), began=10.0)
    night.writes_are_back(ended, story)
    assert story.back == pytest.approx(1.1)
    night.writes_are_back(ended, story, by="db1's")
    assert story.back == pytest.approx(15.1)
