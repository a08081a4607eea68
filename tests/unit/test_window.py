"""The window's decisions, clock, deadlines and events, without an engine."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import announce, ready
from agent.journal import Authority, Journal
from agent.report import Refusal
from agent.states import MOVES, Phase, goes_back
from components.aws_settings import LoadBalancer
from components.phases import MoveRefusedError, check_move
from components.settings import Limits, Settings
from scripts.window import course, deadlines
from scripts.window.clock import SEALING, Clock, Heard, Steps, What
from scripts.window.course import Course, End, Ending, Finished, NoWayError, Ran, Refused, Way
from scripts.window.deadlines import ANY_STEP, UPGRADE_MARGIN, DeadlineError, Deadlines
from scripts.window.engine import Engine
from scripts.window.events import heard
from scripts.window.screen import Screen
from scripts.window.summary import EXIT_STATUS
from tests.unit.example_config import config

RANS = st.builds(
    Ran,
    ending=st.sampled_from(Ending),
    begun=st.booleans(),
    upgraded=st.booleans(),
    release_begun=st.booleans(),
    target_opened=st.booleans(),
    primary_opened=st.booleans(),
    refused=st.sampled_from(Refused),
)


def possible(now: Course, ran: Ran) -> bool:
    """What no `up` can say: a gate that opens in a phase in which it is not asked to, or before any step began."""
    if (ran.target_opened or ran.upgraded) and (now.phase is not Phase.CUTOVER or not ran.begun):
        return False
    if ran.primary_opened and (now.phase is not Phase.PREPARE or not ran.begun):
        return False
    return not (ran.ending is Ending.DONE and ran.refused is not Refused.NOTHING_KNOWN)


@given(st.sampled_from(course.FORWARD), st.lists(RANS, min_size=12, max_size=12))
def test_every_window_ends_and_none_goes_back_by_itself_once_db_a_opened(first: Phase, rans: list[Ran]) -> None:
    """Whether to go back from an open DB_A is a person's to say; a window that never ends keeps writes refused."""
    begun = Course(Way.FORWARD, first, 4)
    now: Course | End = begun
    asked = [begun]
    opened = False
    for ran in rans:
        assert isinstance(now, Course)
        if not possible(now, ran):
            ran = Ran(Ending.FAILED)  # noqa: PLW2901
        opened = opened or ran.target_opened
        before, now = now, course.after(now, ran)
        if isinstance(now, End):
            break
        assert not opened, "it goes on after DB_A opened"
        assert not (before.way is Way.BACK and now.way is Way.FORWARD)
        if now.way is Way.BACK:
            assert now.round > before.round, "to the servers a step back in the same round is no change"
            assert now.phase in (Phase.UPGRADE, Phase.PREPARE)
            assert now.phase is Phase.PREPARE or now.over_upgrade or ran.release_begun, (
                "upgrade is the way forward unless DB_A is upgraded, and the authority may have been released"
            )
        else:
            assert ran.ending is Ending.DONE
            assert now.phase in MOVES[before.phase]
            assert now.round == before.round
        asked.append(now)
    assert isinstance(now, End), "it never ends"
    if opened and ran.ending is not Ending.DONE:
        assert now is End.OPENED
    if now is End.BACK:
        assert asked[-1].phase is Phase.PREPARE
    if now is End.CUTOVER:
        assert [one.phase for one in asked] == list(course.FORWARD[course.FORWARD.index(first) :])
    assert EXIT_STATUS[now] in (0, 1, 2, 3)


@pytest.mark.parametrize("phase", [Phase.READONLY, Phase.UPGRADE])
@pytest.mark.parametrize("ending", [Ending.FAILED, Ending.INTERRUPTED, Ending.LATE])
def test_before_cutover_the_way_back_is_prepare(phase: Phase, ending: Ending) -> None:
    """`upgrade` would go forward from there."""
    following = course.after(Course(Way.FORWARD, phase, 2), Ran(ending))
    assert isinstance(following, Course)
    assert (following.way, following.phase, following.round) == (Way.BACK, Phase.PREPARE, 3)


@pytest.mark.parametrize(
    ("ran", "to"),
    [
        (Ran(Ending.FAILED, upgraded=True), Phase.PREPARE),
        (Ran(Ending.FAILED, upgraded=True, release_begun=True), Phase.UPGRADE),
        # An engine that was ended may have begun the release without a word to us.
        (Ran(Ending.INTERRUPTED, upgraded=True), Phase.UPGRADE),
        (Ran(Ending.LATE, upgraded=True), Phase.UPGRADE),
    ],
)
def test_from_cutover_db_a_is_asked_unless_nothing_was_released(ran: Ran, to: Phase) -> None:
    """`prepare` at once, with the authority released, would be refused while writes are; so it only costs time."""
    following = course.after(Course(Way.FORWARD, Phase.CUTOVER, 1, moved=True), ran)
    assert isinstance(following, Course)
    assert following.phase is to
    assert following.over_upgrade


@pytest.mark.parametrize("ending", [Ending.FAILED, Ending.INTERRUPTED, Ending.LATE])
def test_nobody_waits_for_an_upgrade_on_the_way_back(ending: Ending) -> None:
    """By way of upgrade DB_A would be upgraded first, with writes refused all the while, only to be built anew."""
    following = course.after(Course(Way.FORWARD, Phase.CUTOVER, 1, moved=True), Ran(ending))
    assert following == Course(Way.BACK, Phase.PREPARE, 2, moved=True, tries=1)
    again = course.after(following, Ran(Ending.FAILED))
    assert again == Course(Way.BACK, Phase.PREPARE, 3, moved=True, tries=2)
    assert course.back_from(Phase.CUTOVER, 1, Finished(Phase.READONLY, 1)).phase is Phase.PREPARE


def test_a_prepare_that_the_old_primary_refuses_goes_over_upgrade() -> None:
    """A way back that gives up there leaves writes refused."""
    now = Course(Way.BACK, Phase.PREPARE, 5, tries=1)
    following = course.after(now, Ran(Ending.FAILED, refused=Refused.BY_UPGRADE))
    assert following == Course(Way.BACK, Phase.UPGRADE, 6, over_upgrade=True, tries=2)
    assert course.after(following, Ran(Ending.DONE)) == Course(Way.BACK, Phase.PREPARE, 7, over_upgrade=True, tries=3)


def test_nothing_done_only_if_nothing_began() -> None:
    """`Nothing was done` over a fleet half-way leaves writes refused."""
    first = Course(Way.FORWARD, Phase.READONLY, 1)
    assert course.after(first, Ran(Ending.FAILED, begun=False)) is End.NOTHING
    assert isinstance(course.after(first, Ran(Ending.FAILED)), Course)
    later = course.after(first, Ran(Ending.DONE))
    assert isinstance(later, Course)
    assert isinstance(course.after(later, Ran(Ending.FAILED, begun=False)), Course)


def journal(phase: Phase, authority_: Authority, finished: bool) -> Journal:
    return Journal(phase=phase, round=3, finished=finished, authority=authority_, epoch=2)


@pytest.mark.parametrize(
    ("own", "phase", "round_", "means"),
    [
        (journal(Phase.UPGRADE, Authority.SEALED, True), Phase.UPGRADE, 2, Refused.STALE),
        (journal(Phase.CUTOVER, Authority.RELEASED, False), Phase.PREPARE, 4, Refused.BY_UPGRADE),
        (journal(Phase.CUTOVER, Authority.SEALED, False), Phase.PREPARE, 3, Refused.BY_UPGRADE),
        (journal(Phase.CUTOVER, Authority.RELEASED, True), Phase.PREPARE, 4, Refused.BY_UPGRADE),
        (journal(Phase.UPGRADE, Authority.RELEASED, True), Phase.PREPARE, 4, Refused.BY_UPGRADE),
        (journal(Phase.UPGRADE, Authority.SEALED, False), Phase.READONLY, 4, Refused.NOTHING_KNOWN),
    ],
)
def test_the_old_primarys_refusals_are_understood(own: Journal, phase: Phase, round_: int, means: Refused) -> None:
    """A sentence that was reworded would be taken for an ordinary failure."""
    with pytest.raises(Refusal) as refused:
        announce.decide(own, phase, round_, is_target=False)
    assert course.understood(str(refused.value)) is means


@pytest.mark.parametrize("on_target", [True, False])
def test_the_refusal_of_a_way_back_that_loses_is_understood(on_target: bool) -> None:
    """Taken for an ordinary failure it would be followed by another try, and another."""
    with pytest.raises(Refusal) as refused:
        ready.refuse_loss(["shop: table public.new was made"], on_target, 5)
    assert course.understood(str(refused.value)) is Refused.LOSES
    back = Course(Way.BACK, Phase.UPGRADE, 5, over_upgrade=True, tries=1)
    assert course.after(back, Ran(Ending.FAILED, refused=Refused.LOSES)) is End.OPENED


def test_the_programs_refusal_is_understood() -> None:
    """As above, where the preview refuses."""
    with pytest.raises(MoveRefusedError) as refused:
        check_move(Phase.READONLY, 3, Phase.READONLY, 2)
    assert course.understood(str(refused.value)) is Refused.STALE


@pytest.mark.parametrize("asked", Phase)
@pytest.mark.parametrize("finished", [Phase.PREPARE, Phase.READONLY, Phase.UPGRADE])
def test_where_a_window_begins(asked: Phase, finished: Phase) -> None:
    """A window that was killed goes on where it was; one over a way back that is not finished would turn it round."""
    if goes_back(finished, asked) or (asked is not finished and asked not in MOVES[finished]):
        with pytest.raises(NoWayError):
            course.forward_from(asked, 2, Finished(finished, 2))
        return
    assert course.forward_from(asked, 2, Finished(finished, 2)).phase in MOVES[finished]


def test_where_a_way_back_begins() -> None:
    """A round below the servers' would be refused while writes are."""
    assert course.back_from(Phase.READONLY, 1, Finished(Phase.PREPARE, 4)) == Course(
        Way.BACK, Phase.PREPARE, 5, tries=1
    )
    assert course.back_from(Phase.CUTOVER, 2, Finished(Phase.UPGRADE, 2)).phase is Phase.UPGRADE
    after_cutover = course.back_from(Phase.CUTOVER, 2, Finished(Phase.CUTOVER, 2))
    assert after_cutover == Course(Way.BACK, Phase.UPGRADE, 3, over_upgrade=True, tries=1)
    with pytest.raises(NoWayError):
        course.back_from(Phase.CUTOVER, 2, None)


STEPS = Steps(
    "db-a-database",
    "db1-client-gate",
    "db-a-client-gate",
    frozenset({"web1-hosts-file", "web2-hosts-file"}),
    frozenset({"db2-sessions-online", "db3-sessions-online"}),
    frozenset({"db2-sessions-web1", "db2-sessions-web2", "db3-sessions-web1", "db3-sessions-web2"}),
)


def test_the_clock_of_a_window() -> None:
    """An outage told too short is what the next window is planned by."""
    clock = Clock(STEPS)
    clock.hear(Phase.READONLY, Heard(1.0, "web1-hosts-file", What.DONE))
    clock.hear(Phase.READONLY, Heard(1.2, "web2-hosts-file", What.DONE))
    assert clock.seconds_refused(2.0) is None
    clock.hear(Phase.READONLY, Heard(2.0, "db1-client-gate", What.BEGAN))
    assert clock.seconds_refused(2.5) == pytest.approx(0.5)
    clock.hear(Phase.READONLY, Heard(2.1, "db1-client-gate", What.SAID, f"refusing clients: {SEALING}"))
    clock.hear(Phase.READONLY, Heard(3.0, "db1-client-gate", What.DONE))
    clock.hear(Phase.CUTOVER, Heard(9.0, "web2-hosts-file", What.DONE))
    assert clock.accepted is None, "DB_A was not open yet"
    clock.hear(Phase.CUTOVER, Heard(9.5, "db-a-client-gate", What.DONE))
    clock.hear(Phase.CUTOVER, Heard(10.0, "web2-hosts-file", What.DONE))
    assert clock.seconds_refused(99.0) == pytest.approx(7.9)
    assert clock.seconds_led_away(11.0) == pytest.approx(10.0)
    clock.hear(Phase.CUTOVER, Heard(10.5, "web1-hosts-file", What.DONE))
    assert clock.seconds_led_away(99.0) == pytest.approx(9.5)
    clock.hear(Phase.CUTOVER, Heard(11.0, "db2-sessions-online", What.DONE))
    assert clock.seconds_led_away(99.0) == pytest.approx(10.0), "pools hold on to sessions on DB_B until then"


def test_the_clock_of_a_way_back() -> None:
    """Neither a seal that never spoke nor a fleet without online servers stops the clock from running, or from ending."""
    clock = Clock(Steps("db-a-database", "db1-client-gate", "db-a-client-gate", frozenset(), frozenset(), frozenset()))
    clock.hear(Phase.READONLY, Heard(2.0, "db1-client-gate", What.BEGAN))
    clock.hear(Phase.READONLY, Heard(3.0, "db1-client-gate", What.FAILED))
    clock.hear(Phase.PREPARE, Heard(4.0, "db1-client-gate", What.BEGAN))
    assert clock.seconds_refused(4.5) == pytest.approx(2.5)
    clock.hear(Phase.PREPARE, Heard(5.0, "db1-client-gate", What.DONE))
    assert clock.seconds_refused(99.0) == pytest.approx(3.0)


def test_the_names_of_the_steps_are_the_programs() -> None:
    """A clock that waits for a step of another name never starts."""
    assert Steps.of(Settings.from_config(config())) == STEPS


def test_deadlines() -> None:
    """A mute server holds the window open for as long as its step's deadline is."""
    limits = Limits.model_validate(
        {"upgradeSeconds": 100, "graceSeconds": 7, "lagSeconds": 3, "baseBackupSeconds": 5000, "streamSeconds": 10}
    )
    plain = Deadlines(limits)
    assert plain.of("web1-hosts-file", Phase.READONLY) == ANY_STEP
    assert plain.of("db1-client-gate", Phase.READONLY) == ANY_STEP + 7
    assert plain.of("db2-sessions-online", Phase.READONLY) == ANY_STEP + 7
    assert plain.of("db1-ready", Phase.READONLY) == ANY_STEP + 3
    of_db_a = Deadlines(limits, target="db-a")
    assert of_db_a.of("db1-ready", Phase.READONLY) == of_db_a.of("db-a-ready", Phase.UPGRADE) == ANY_STEP + 3
    assert of_db_a.of("db-a-ready", Phase.READONLY) == ANY_STEP + 3 + 100, "a schema that is tried again"
    assert plain.of("db-a-database", Phase.UPGRADE) == 100 + UPGRADE_MARGIN
    assert plain.of("db-a-database", Phase.PREPARE) > 5000
    balancing = LoadBalancer.model_validate({"drainSeconds": 400, "healthySeconds": 200})
    assert Deadlines(limits, {}, balancing).of("web3-load-balancer", Phase.READONLY) == ANY_STEP + 400
    assert Deadlines(limits, {}, balancing).of("web3-load-balancer", Phase.PREPARE) == ANY_STEP + 200
    assert plain.of("db-c-instance", Phase.CUTOVER) == plain.of("db-c-boot", Phase.CUTOVER) > 1000
    given_ = Deadlines(limits, deadlines.read(["20", "hosts-file=5", "database=400"]))
    assert given_.of("web1-hosts-file", Phase.READONLY) == 5
    assert given_.of("db-a-announce", Phase.READONLY) == 20
    assert given_.of("db-a-database", Phase.UPGRADE) == 400


@pytest.mark.parametrize("option", ["", "soon", "hosts-file=", "0", "hosts-file=-1", "inf", "nan"])
def test_a_deadline_that_is_none_is_refused(option: str) -> None:
    """Taken as it is, it would end the window at once, or never."""
    with pytest.raises(DeadlineError):
        deadlines.read([option])


def test_only_our_own_lock_is_taken_away(tmp_path: Path) -> None:
    """A colleague's `up` that is at work would lose its lock, and two would run at once."""
    engine = Engine(tmp_path, "prod")
    ours = subprocess.Popen(["sleep", "60"], text=True)
    engine.end(ours)
    host = socket.gethostname()

    def locked(*owners: str) -> str:
        listed = "".join(
            f"\n  file:///state/locks/{owner}.json: created by root@{owner} at 2026-01-01T00:00:00Z" for owner in owners
        )
        return f"error: the stack is currently locked by {len(owners)} lock(s). Either wait{listed}"

    assert engine.is_locked_by_us(locked(f"{host} (pid {ours.pid})"))
    assert not engine.is_locked_by_us(locked(f"{host} (pid 1)"))
    assert not engine.is_locked_by_us(locked(f"elsewhere (pid {ours.pid})"))
    assert not engine.is_locked_by_us(locked(f"{host} (pid {ours.pid})", f"{host} (pid 1)"))
    assert not engine.is_locked_by_us("error: something else")


def test_a_reader_that_has_gone_ends_no_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """`scripts.window | head` left an engine without anybody who watches it, and its lock."""
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as gone:
        monkeypatch.setattr(sys, "stdout", gone)
        screen = Screen(0.0)
        for _ in range(3):
            screen.say("writes are refused")
        monkeypatch.undo()


URN = "urn:pulumi:prod::pgleap::pgleap:fleet:Fleet$pgleap:fleet:HostsFile$command:remote:Command::web1-hosts-file"


def test_what_events_tell() -> None:
    """A step of which nothing is heard has no deadline."""

    def of(kind: str, op: str = "update", type_: str = "command:remote:Command") -> Heard | None:
        return heard(1.0, {kind: {"metadata": {"op": op, "urn": URN, "type": type_}}})

    assert of("resourcePreEvent") == Heard(1.0, "web1-hosts-file", What.BEGAN)
    assert of("resOutputsEvent", "create") == Heard(1.0, "web1-hosts-file", What.DONE)
    assert of("resOpFailedEvent") == Heard(1.0, "web1-hosts-file", What.FAILED)
    assert of("resourcePreEvent", "same") is None
    assert of("resOutputsEvent", "replace") is None, "told as create-replacement too"
    assert of("resourcePreEvent", "update", "pgleap:fleet:HostsFile") is None
    assert of("resourcePreEvent", "delete", "aws:ec2/instance:Instance") == Heard(1.0, "web1-hosts-file", What.BEGAN)
    assert of("resourcePreEvent", "delete") is None

    at_home = "urn:pulumi:prod::pgleap::pgleap:fleet:Fleet$pgleap:fleet:LoadBalancer$command:local:Command::web3-load-balancer"
    begun = {"op": "update", "urn": at_home, "type": "command:local:Command"}
    assert heard(1.0, {"resourcePreEvent": {"metadata": begun}}) == Heard(1.0, "web3-load-balancer", What.BEGAN)

    def said(severity: str, urn: str = URN) -> Heard | None:
        event = {"message": "a sentence\n", "color": "never", "severity": severity, "urn": urn}
        return heard(1.0, {"diagnosticEvent": event})

    assert said("error") == Heard(1.0, "web1-hosts-file", What.FAILED, "a sentence")
    assert said("error", "") == Heard(1.0, "", What.FAILED, "a sentence")
    assert said("info") == Heard(1.0, "web1-hosts-file", What.SAID, "a sentence")
    assert said("info", at_home) == Heard(1.0, "web3-load-balancer", What.SAID, "a sentence")
    assert said("info", "urn:pulumi:prod::pgleap::pulumi:pulumi:Stack::pgleap-prod") is None
