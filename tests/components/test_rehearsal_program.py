"""What a stack `rehearsal` declares: two servers, verbs of its own, and what takes everything away again."""

from __future__ import annotations

from typing import Any

import pytest

from agent.states import REHEARSAL_VERBS, Phase, Verb
from components.agent_program import INSTALLED_FOR_REHEARSAL, agent_program
from components.config_errors import SettingsError
from components.settings import Settings
from tests.components.declared import COMMAND, Program, RefusedError, declare
from tests.unit.example_config import config, config_on_ec2

SUDO = "sudo -n /usr/bin/env python3 -I -S"


def rehearsed(phase: str = "prepare", round_: int = 1, **more: Any) -> Program:
    finished = {"phase": "prepare", "round": 1} if phase == "upgrade" else None
    return declare(config(), rehearsal="true", phase=phase, round=str(round_), finished=finished, **more)


@pytest.mark.parametrize("phase", ["prepare", "upgrade"])
def test_no_verb_occurs_that_could_seal_open_or_change_a_hosts_file(phase: str) -> None:
    """A rehearsal in broad daylight that takes production down."""
    program = rehearsed(phase)
    verbs = {
        str(step.inputs[how]).rsplit(maxsplit=1)[1] for step in program.steps.values() for how in ("create", "update")
    }
    ends = {
        str(step.inputs["delete"]).rsplit(maxsplit=1)[1] for step in program.steps.values() if "delete" in step.inputs
    }
    assert verbs | ends == {verb.value for verb in REHEARSAL_VERBS}
    assert not program.local_steps
    delivered = {str(copy.inputs["remotePath"]) for copy in program.copies.values()}
    for step in program.steps.values():
        path = str(step.inputs["create"]).split()[-2]
        assert path in (INSTALLED_FOR_REHEARSAL, *delivered)
    assert delivered == {agent_program(rehearsal=True).delivered}
    assert delivered.isdisjoint({agent_program().delivered})


@pytest.mark.parametrize("phase", ["prepare", "upgrade"])
def test_only_the_primary_and_the_target_are_told_anything(phase: str) -> None:
    """The config is a copy of the window's: eleven servers, of which nine must not notice."""
    program = rehearsed(phase)
    hosts = {found.inputs["connection"]["host"] for found in (*program.steps.values(), *program.copies.values())}
    assert hosts == {"10.77.0.11", "10.77.0.14"}
    assert (
        "told nothing, asked nothing: db2, db3, db-c, db-d, web1, web2, web3, worker1, worker2"
        in program.outputs["leftOut"]
    )
    told = [found.inputs.get("stdin", "") for found in program.steps.values()]
    assert not [text for text in told if "10.77.0.12" in text or "10.77.0.21" in text]


def test_what_a_failed_step_made_goes_too() -> None:
    """A step that fails is not in the engine's state: `destroy` would leave half a terabyte, and a slot that fills the primary's disk."""
    program = rehearsed()
    ending = {name for name, step in program.steps.items() if "delete" in step.inputs}
    begins = {"db1-rehearsal-begin", "db-a-rehearsal-begin"}
    assert ending == begins | {"db1-agent", "db-a-agent"}
    for name in program.steps.keys() - ending:
        assert begins <= program.waits_for(name), name
    # Backwards: DB_A's standby, then its slot and role, then the programs.
    assert "db1-rehearsal-begin" in program.waits_for("db-a-rehearsal-begin")
    assert {"db1-agent"} <= program.waits_for("db1-rehearsal-begin")
    assert (
        str(program.steps["db-a-rehearsal-begin"].inputs["delete"]) == f"{SUDO} {INSTALLED_FOR_REHEARSAL} rehearsal-end"
    )


def test_the_password_is_in_a_secret_step_alone() -> None:
    """Whoever may read the preview could read all data."""
    program = rehearsed()
    for name, step in program.steps.items():
        assert ("correct horse" in step.inputs["stdin"]) is ("stdin" in step.secret) is name.endswith("-credentials"), (
            name
        )


def test_nothing_is_archived_and_no_replica_is_asked() -> None:
    """The copy would write a second history into the archive of the upgraded database to come."""
    postgres = {"archiveCommand": "cp %p /archive/%f"}
    stdin = rehearsed("upgrade", postgres=postgres).steps["db-a-rehearsal-database"].stdin
    assert "archiveCommand" not in stdin
    assert stdin["oldReplicas"] == {}
    assert (stdin["database"], stdin["primary"]["address"]) == ("new-version primary", "10.77.0.11")


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase not in (Phase.PREPARE, Phase.UPGRADE)])
def test_a_phase_that_touches_the_fleet_is_refused(phase: Phase) -> None:
    """`readonly` in the wrong stack, at noon."""
    with pytest.raises(RefusedError, match=r"pgleap:phase: .*rehearsal") as refused:
        rehearsed(phase.value)
    assert not [found for found in refused.value.declared if found.type == COMMAND]


@pytest.mark.parametrize("name", ["db1", "db-a"])
def test_what_a_rehearsal_is_made_of_is_not_lost(name: str) -> None:
    """Half a rehearsal, found out by a step that fails."""
    given = config()
    given["servers"][name]["lost"] = True
    with pytest.raises(SettingsError, match=f"pgleap:servers.{name}.lost: a rehearsal needs"):
        Settings.from_config({**given, "rehearsal": "true", "phase": "prepare"})


def test_its_moves() -> None:
    """A copy that was upgraded and is asked to be a standby again is copied anew, which must not happen by chance."""
    with pytest.raises(RefusedError, match="begins with phase prepare"):
        declare(config(), rehearsal="true", phase="upgrade")
    finished = {"phase": "upgrade", "round": 1}
    with pytest.raises(RefusedError, match="higher round than 1"):
        declare(config(), rehearsal="true", phase="prepare", finished=finished)
    assert declare(config(), rehearsal="true", phase="prepare", round="2", finished=finished).steps


@pytest.mark.parametrize("phase", ["prepare", "upgrade"])
def test_an_instance_goes_with_its_stack(phase: str) -> None:
    """A protected one: `destroy` refuses, and a machine that was to be thrown away is paid for until somebody looks."""
    finished = {"phase": "prepare", "round": 1}
    program = declare(config_on_ec2(), rehearsal="true", phase=phase, finished=finished)
    made = [found for found in program.declared if found.type.startswith("aws:ec2/instance:")]
    assert [found.name for found in made] == ["db-a-instance"]
    assert not [found.name for found in program.declared if found.options.protect or found.options.retain]


def test_a_window_s_program_has_no_verb_of_a_rehearsal() -> None:
    """It would run with the window's folder: a rehearsal's journal in the place of the window's."""
    program = declare(config())
    asked = {str(step.inputs["create"]).rsplit(maxsplit=1)[1] for step in program.steps.values()}
    assert not {Verb(verb) for verb in asked} & set(REHEARSAL_VERBS)
