"""The lab that all tests of this folder share: booted once, always taken down."""

from collections.abc import Iterator

import pytest

from rehearsal import stage
from rehearsal.data.fill import Size
from rehearsal.lab import lab as whole
from rehearsal.lab import packages
from rehearsal.lab.lab import Lab
from rehearsal.lab.place import Place
from rehearsal.stage import Stage

_MADE_BY = "tests"


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """The fleet, up: ten hosts, without databases. Skips where there can be no lab.

    A lab that an earlier run of the tests left behind is taken down first; one that somebody booted by hand stays, and
    is a reason to fail.
    """
    reason = packages.why_not()
    if reason is not None:
        pytest.skip(reason)
    place = Place()
    _down_if_ours(place)
    try:
        yield whole.up(place, print, made_by=_MADE_BY)
    finally:
        _down_if_ours(place)


@pytest.fixture(scope="session")
def filled_lab(lab: Lab) -> Lab:
    """The same fleet with its data on db1, and db2 and db3 streaming from it."""
    stage.put_databases(lab, Size(), print)
    return lab


@pytest.fixture(scope="session")
def on_stage(filled_lab: Lab) -> Stage:
    """The same with traffic on it, and the operator's stack."""
    return stage.put_traffic(filled_lab, print)


def _down_if_ours(place: Place) -> None:
    if place.made_by.exists() and place.made_by.read_text().strip() == _MADE_BY:
        stage.take_down(place)
