"""Each command of docs/recovery.md, typed as it stands there where the page says so: it is accepted, and leads to what the page says."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from agent.journal import ADOPT, JOURNAL_FILE
from agent.states import Phase
from tests.model.advised import LINE, lines
from tests.model.engine import Outcome
from tests.model.moves import Scene, States
from tests.model.operators import Config, Operator
from tests.model.pages import RECOVERY, REPOSITORY, commands
from tests.model.test_comes_back import comes_back, go_on_without_db1
from tests.model.test_lost_servers import dies

Play = Callable[[States], None]
PLAYED: dict[str, list[Play]] = {}


def typed(line: str) -> Callable[[Play], Play]:
    """What follows types `line`, as it stands on the page."""

    def add(play: Play) -> Play:
        PLAYED.setdefault(line, []).append(play)
        return play

    return add


def types(operator: Operator, line: str) -> Outcome:
    """Raises AssertionError unless it is one command line, and an `up` at the end."""
    (read,) = lines(line)
    outcome = operator.type(read)
    assert outcome is not None
    return outcome


BACK = "pulumi up --config phase=prepare --config round=2"
NO_DB_A = "pulumi config rm --path servers.db-a.lost && pulumi up --config round=3"


@typed(BACK)
@typed(NO_DB_A)
def back_without_db_a_and_a_new_one(states: States) -> None:
    for start in ("readonly", "upgrade", "cutover, not released"):
        with states.begun(start) as scene:
            phase = Phase.CUTOVER if "cutover" in start else Phase(start)
            operator = Operator(scene, Config(phase, 1, frozenset({"db-a"})))
            dies(scene, "db-a", "")
            back = types(operator, BACK)
            assert back.arrived, back.said
            assert scene.takes_writes("db1")
            empty(scene, "db-a")
            again = types(operator, NO_DB_A)
            assert again.arrived, again.said
            assert Operator(scene, Config(Phase.READONLY, 3)).up().arrived


def empty(scene: Scene, name: str) -> None:
    """Another machine in its place, on which only the programs are installed."""
    machine = scene.world.machines[name]
    scene.world.unreachable.discard(name)
    machine.put("/etc/machine-id", b"a new one\n")
    for cluster in list(machine.clusters.values()):
        machine.path(f"{cluster.data}/PG_VERSION").unlink()
        machine.cluster_at(cluster.data)
    for path in machine.path("/var/lib/pgleap").glob("*"):
        path.unlink() if path.is_file() else None
    machine._watched.pop(JOURNAL_FILE, None)
    for folder in ("/var/lib/postgresql", "/etc/postgresql"):
        for path in sorted(machine.path(folder).rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()


@typed(BACK)
def back(states: States) -> None:
    for start in ("readonly", "upgrade", "cutover, not released", "cutover, not upgraded"):
        with states.begun(start) as scene:
            phase = Phase.CUTOVER if "cutover" in start else Phase(start)
            gone = types(Operator(scene, Config(phase, 1)), BACK)
            assert gone.arrived, gone.said
            assert scene.takes_writes("db1")


WITHOUT_WEB1 = "pulumi config set --path 'servers.web1.lost' true && pulumi up"
WITH_WEB1 = "pulumi config rm --path servers.web1.lost && pulumi up --config round=5"


@typed(WITHOUT_WEB1)
@typed(WITH_WEB1)
def without_a_web_server_and_with_it_again(states: States) -> None:
    with states.begun("upgrade") as scene:
        scene.world.unreachable.add("web1")
        operator = Operator(scene, Config(Phase.CUTOVER, 1))
        assert not operator.up().arrived
        on = types(operator, WITHOUT_WEB1)
        assert on.arrived, on.said
        assert scene.takes_writes("db-a")
        scene.world.unreachable.discard("web1")
        again = types(operator, WITH_WEB1)
        assert again.arrived, again.said
        assert "web1-hosts-file" in [step.name for step in again.ran]


TOLD = "pulumi up --config phase=prepare --config round=4"
NOT_ANY_MORE = "pulumi config rm acceptDataLoss"


@typed(TOLD)
@typed(NOT_ANY_MORE)
def what_db_a_took_is_given_up(states: States) -> None:
    for start in ("cutover", "cutover, released", "replicas"):
        with states.begun(start) as scene:
            dies(scene, "db-a", "")
            phase = Phase.REPLICAS if start == "replicas" else Phase.CUTOVER
            operator = Operator(scene, Config(phase, 1, frozenset({"db-a"})))
            refused = types(operator, TOLD)
            assert "what would be lost" in refused.said
            (advised,) = [line for line in lines(refused.said) if any(one.key == "acceptDataLoss" for one in line)]
            given_up = operator.type(advised)
            assert given_up is not None
            assert given_up.arrived, given_up.said
            assert scene.takes_writes("db1")
            operator.type(*lines(NOT_ANY_MORE))
            assert not operator.config.accepted
            assert operator.up().arrived


LEFT_LOST = (
    "pulumi config set --path servers.db1.lost true && pulumi config set phase cutover && pulumi config set round 3 &&"
    " pulumi up"
)


@typed(LEFT_LOST)
def an_old_primary_that_another_opened_without_stays_lost(states: States) -> None:
    with states.begun("upgrade") as scene:
        dies(scene, "db1", "db1 lost")
        assert go_on_without_db1(scene, 1)
        comes_back(scene, "db1")
        operator = Operator(scene, Config(Phase.CUTOVER, 2))
        assert not operator.up().arrived
        dies(scene, "db1", "db1 lost")
        on = types(operator, LEFT_LOST)
        assert on.arrived, on.said
        assert scene.takes_writes("db-a")


BY_A_WORD = "pulumi config set acceptDataLoss true && python -m scripts.window --back"


@typed(BY_A_WORD)
@typed(NOT_ANY_MORE)
def back_over_what_would_be_lost(states: States) -> None:
    with states.begun("cutover") as scene:
        (new,) = scene.world.target.running()
        new.logical.clear()
        operator = Operator(scene, Config(Phase.CUTOVER, 1))
        assert not operator.window_back().arrived
        gone = types(operator, BY_A_WORD)
        assert gone.arrived, gone.said
        assert scene.takes_writes("db1")
        operator.type(*lines(NOT_ANY_MORE))
        assert operator.up().arrived


FROM_REPLICAS = "pulumi up --config phase=cutover --config round=4"


@typed(FROM_REPLICAS)
def names_lead_back_to_db_a(states: States) -> None:
    with states.begun("replicas") as scene:
        back = types(Operator(scene, Config(Phase.REPLICAS, 1)), FROM_REPLICAS)
        assert back.arrived, back.said


@typed("pulumi up")
@typed("pulumi preview")
def again(states: States) -> None:
    with states.begun("cutover, released") as scene:
        operator = Operator(scene, Config(Phase.CUTOVER, 1))
        assert types(operator, "pulumi preview").arrived
        assert types(operator, "pulumi up").arrived


PLAYS = sorted({play.__name__: play for plays in PLAYED.values() for play in plays}.items())


@pytest.mark.parametrize("play", [play for _, play in PLAYS], ids=[name for name, _ in PLAYS])
def test_a_command_of_the_page_is_accepted_where_the_page_says(states: States, play: Play) -> None:
    """The page is opened when something has failed: a command of it that is refused is the end of what its reader knows."""
    play(states)


# What moves nothing, and what is about the engine or the machines: the test that runs it, and a word of that.
RUN_BY = {
    "pulumi cancel": ("rehearsal/engine/project.py", '"cancel"'),
    "pulumi config get round": ("tests/components/test_interruptions.py", '"config", "get", "round"'),
    "pulumi destroy": ("tests/lab/test_uninstall_on_servers.py", '"destroy"'),
    "pulumi stack ls": ("tests/components/test_interruptions.py", '"stack", "ls"'),
    "pulumi stack output authority": ("rehearsal/engine/project.py", '"stack", "output"'),
    "pulumi login file://…": ("rehearsal/engine/project.py", "file://"),
    "pulumi login 'file:///srv/pgleap?metadata=skip'": ("tests/components/test_recovery_commands.py", "repair(stack.pulumi, UNREADABLE)"),
    "pulumi state repair": ("tests/components/test_engine_options.py", "repair(stack.pulumi, OUT_OF_ORDER)"),
    "pulumi refresh --clear-pending-creates": ("tests/components/test_recovery_commands.py", 'repair(stack.pulumi, "Attempting to'),
    "pulumi up --replace '**::web1-agent-file' --replace '**::web1-agent'": ("tests/components/test_interruptions.py", "--replace"),
    "python -m scripts.status": ("tests/lab/status_seen.py", "scripts.status"),
    "python -m scripts.uninstall": ("tests/lab/test_uninstall_on_servers.py", "scripts.uninstall"),
}  # fmt: skip


def test_every_command_of_the_page_is_one_that_a_test_runs() -> None:
    """A command that nobody has typed is one that may be refused, in the one night in which it is needed."""
    advised = set(commands(RECOVERY))
    assert advised - {*PLAYED, *RUN_BY} == set()
    assert {*PLAYED, *RUN_BY} - advised == set(), "a test of what the page says no more"
    assert [line for line in PLAYED if not LINE.fullmatch(line)] == []
    for file, word in RUN_BY.values():
        assert word in (REPOSITORY / file).read_text()


def test_the_page_says_how_a_journal_is_adopted_as_the_agent_knows_it() -> None:
    """Typed as root on a server, with no program of ours that would say what is wrong with it."""
    assert set(re.findall(r"`(python3 [^`]+)`", RECOVERY.read_text())) == {ADOPT}
