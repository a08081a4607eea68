"""pgleap: reads the stack's settings, declares the fleet in its phase, exports what an operator looks for."""

from __future__ import annotations

import os
from typing import Any

import pulumi

from agent.states import MOVES, REHEARSAL_MOVES, Phase
from components import plan, registrations, rehearsal_plan
from components.agent_program import agent_program
from components.ancestors import ancestors
from components.engine_options import LeftOutError, check_whole
from components.fleet import Fleet
from components.fleet_args import FleetArgs
from components.instances import on_destroy
from components.interrupted import end_quietly
from components.phases import MoveRefusedError, check_move, check_taken_back
from components.rehearsal import Rehearsal
from components.stack_config import load
from components.step import Reach

# Of every resource the SDK tells the engine some five times what it is about to do, and waits for each answer. Without --debug nobody
# hears it, and a window waits 0.4 s (twelve servers, two cores).
pulumi.log.debug = lambda *_, **__: None

if __name__ == "__main__":  # and not in a test's own process
    end_quietly()
try:
    check_whole(ancestors(), os.environ)
except LeftOutError as left_out:
    raise pulumi.RunError(str(left_out)) from None
config = load()
settings = config.settings


def allow(finished: Any) -> bool:
    """Refuse what is no move from the phase that this stack finished last, in the preview as in `up`."""
    before = Phase(finished["phase"]) if finished else None
    try:
        without_target = settings.target.lost
        round_before = int(finished["round"]) if finished else 0
        moves = REHEARSAL_MOVES if settings.rehearsal else MOVES
        opened_without = finished.get("openedWithout") if finished else None
        check_taken_back(opened_without, settings.primary.name, settings.target.name, lost=settings.primary.lost)
        check_move(before, round_before, settings.phase, settings.round, without_target=without_target, moves=moves)
    except MoveRefusedError as refused:
        raise pulumi.RunError(str(refused)) from None
    return True


# The stack's own outputs tell which phase it finished last; nothing on the first run.
itself = pulumi.StackReference(f"{pulumi.get_organization()}/{pulumi.get_project()}/{pulumi.get_stack()}")
key_file = settings.ssh.private_key_file
reach = Reach(
    ssh=settings.ssh,
    private_key=key_file.expanduser().read_text() if key_file else None,
    round=settings.round,
    allowed=itself.get_output("finished").apply(allow),
)
instances_before = itself.get_output("instances").apply(lambda ids: dict(ids or {}))
program = agent_program(rehearsal=settings.rehearsal)
args = FleetArgs(settings, config.secrets, reach, program, instances_before)
declared: Fleet | Rehearsal
if settings.rehearsal:
    declared = rehearsal = Rehearsal("rehearsal", args)
    pulumi.export("rehearsal", True)
    pulumi.export("authority", rehearsal_plan.authority(settings))
    pulumi.export("plan", rehearsal_plan.plan(settings))
    pulumi.export("leftOut", rehearsal_plan.left_out(settings))
    pulumi.export("measured", rehearsal.measured)
else:
    declared = fleet = Fleet("fleet", args)
    pulumi.export("authority", plan.authority(settings))
    pulumi.export("plan", plan.plan(settings))
    # What is told in prepare stands in every later preview: what a way back after cutover would not bring along.
    told = fleet.after_cutover if settings.phase is Phase.PREPARE else itself.get_output("afterCutover")
    pulumi.export("afterCutover", told)
pulumi.export("phase", settings.phase.value)
pulumi.export("round", settings.round)
pulumi.export("finished", declared.finished)
if declared.instances:
    pulumi.export("instances", declared.instances)
    pulumi.export("onDestroy", on_destroy(settings))
registrations.begin()
