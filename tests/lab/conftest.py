"""The lab that the tests of this folder share: booted once. Those in faults/ come before them, with one of their own."""

from collections.abc import Iterator

import pytest

from rehearsal import stage
from rehearsal.data.fill import Size
from rehearsal.lab.lab import Lab
from rehearsal.stage import Stage
from tests.lab.booted import booted


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """The fleet, up: ten hosts, without databases."""
    with booted() as fleet:
        yield fleet


@pytest.fixture(scope="session")
def filled_lab(lab: Lab) -> Lab:
    """The same fleet with its data on db1, and db2 and db3 streaming from it."""
    stage.put_databases(lab, Size(), print)
    return lab


@pytest.fixture(scope="session")
def on_stage(filled_lab: Lab) -> Stage:
    """The same with traffic on it, and the operator's stack."""
    return stage.put_traffic(filled_lab, print)
