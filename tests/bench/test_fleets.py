"""The figures of fleets of many servers: what is measured is what is said, without an engine."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from components.settings import Role, Settings
from rehearsal.bench.fleets import Fleets, table
from rehearsal.bench.fleets.config import SMALLEST, config, roles
from rehearsal.bench.fleets.found import growth
from rehearsal.bench.fleets.servers import step
from tests.bench.made_up import fleets, size


@pytest.mark.parametrize("servers", [SMALLEST, 10, 200, 1000])
def test_every_fleet_is_one_that_the_program_takes(servers: int) -> None:
    """A config with a mistake is refused before anything could be measured."""
    raw = {"phase": "prepare", "round": 1, "password": "a secret", **config(servers, Path("/nowhere"))}
    settings = Settings.from_config(raw)
    assert len(settings.servers) == servers
    assert {role: len(settings.with_role(role)) for role in roles(servers)} == roles(servers)
    assert len(settings.balanced) == roles(servers)[Role.DRAINED]


def test_the_shares_are_the_same_in_every_fleet() -> None:
    """If they were not, one size would be dearer for what it is made of, and the growth would tell nothing."""
    small, large = roles(204), roles(1004)
    for role in (Role.ONLINE, Role.WORKER, Role.DRAINED):
        assert large[role] == 5 * small[role]
    with pytest.raises(ValueError, match=f"at least {SMALLEST}"):
        roles(SMALLEST - 1)


def test_growth_of_a_line_is_one_and_that_of_a_square_is_not() -> None:
    """A square that reads as linear is what this is there to find."""
    line = growth([size(10, 1 + 0.1), size(200, 1 + 2), size(1000, 1 + 10)])
    assert line is not None
    assert (line.preview, line.no_op, line.up) == (1, 1, 1)
    square = growth([size(10, 0.01), size(200, 4), size(1000, 100)])
    assert square is not None
    assert square.up == pytest.approx((96 / 800) / (3.99 / 190), abs=0.01)
    assert growth([size(10, 1), size(200, 2)]) is None


def test_each_figure_stands_in_the_row_of_its_size() -> None:
    """A column that has slipped shows another command's seconds."""
    lines = table(fleets(size(10, 1), size(200, 20), size(1000, 100)))
    assert "| 10 | 70 | 0.2 | 1.0 (100) | 2.0 (200) | 3.0 (300) | 10 |" in lines
    assert "| 1,000 | 7,000 | 20.0 | 100.0 (100) | 200.0 (200) | 300.0 (300) | 1,000 |" in lines
    assert "| 200 | 60.0 | 400 | 60.0 | 1 |" in lines
    assert "| 10 | 100 | 100 | 1.2 | 1.2 | 1.2 |" in lines
    assert any("1 being linear: `preview` 1.00" in line for line in lines)
    widths = {line.count("|") for line in lines if line.startswith("|")}
    assert widths == {6, 7, 8}


def test_two_sizes_have_no_growth_to_tell() -> None:
    """A sentence made of two points would be a line through them, whatever is between."""
    assert not any("linear" in line for line in table(fleets(size(10, 1), size(200, 20))))


def test_what_is_read_back_is_what_was_written() -> None:
    """results.json outlives the code that wrote it: a field that is no longer known must not be read as nothing."""
    found = fleets(size(10, 1), size(200, 20), size(1000, 100))
    assert Fleets.model_validate_json(found.model_dump_json()) == found
    with pytest.raises(ValidationError):
        Fleets.model_validate({**found.model_dump(), "servers": 3})


def test_two_steps_of_one_verb_on_one_server_are_two() -> None:
    """Counted as one, a step that ran twice would hide one that never ran."""
    names = {step("sessions", {"server": "db2", "group": group}) for group in ("web1", "online", "others")}
    assert len(names) == 3
