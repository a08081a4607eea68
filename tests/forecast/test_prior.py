"""The prior's parts are the program's."""

from __future__ import annotations

from scripts.forecast import prior
from scripts.forecast.parts import ENGINE, part_name, phase_of
from tests.components.declared import declare
from tests.unit.example_config import config


def test_every_part_that_is_believed_in_is_a_step_of_the_program() -> None:
    """A step that was renamed leaves its figure in every forecast, and gets another one from the first run on."""
    program = declare(config())
    roles = {server.name: server.role.value for server in program.settings.servers.values()}
    for part in prior.PARTS:
        if not part.endswith(ENGINE):
            assert part in {part_name(phase_of(part), step, roles) for step in program.steps}
