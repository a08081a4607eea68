"""The lab of this story: booted for it, taken down after it."""

from collections.abc import Iterator
from functools import partial

import pytest

from rehearsal import stage
from rehearsal.data.fill import Size
from rehearsal.lab import databases
from rehearsal.stage import Stage
from tests.lab.booted import booted
from tests.lab.way_back import churn


@pytest.fixture(scope="package")
def it() -> Iterator[Stage]:
    """The fleet under its ordinary traffic, which writes no large objects, and with a database of every kind of table."""
    with booted() as fleet:
        stage.put_databases(fleet, Size(), print)
        db1 = partial(databases.psql, fleet.host("db1"))
        churn.make(db1)
        yield stage.put_traffic(fleet, print)
