"""A fleet that nobody did anything to: booted for this folder, taken down after it."""

from collections.abc import Iterator

import pytest

from rehearsal import stage
from rehearsal.data.fill import Size
from rehearsal.stage import Stage
from tests.lab.booted import booted


@pytest.fixture(scope="package")
def on_stage() -> Iterator[Stage]:
    """The fleet under traffic, with the operator's stack."""
    with booted() as fleet:
        stage.put_databases(fleet, Size(), print)
        yield stage.put_traffic(fleet, print)
