"""The lab of these stories: booted for them, taken down after them. They run in order, and each begins where the last ended."""

from collections.abc import Iterator

import pytest

from rehearsal.drill.night import Night, night_in
from rehearsal.lab.fleet import ORDINARY
from rehearsal.shape import Shape, for_drill
from tests.lab.booted import booted


@pytest.fixture(scope="package")
def night() -> Iterator[Night]:
    """The fleet under traffic, with the probe at work; before the first story nothing of pgleap is on it."""
    with booted(for_drill(Shape(ORDINARY)).fleet) as fleet, night_in(fleet) as it:
        yield it
