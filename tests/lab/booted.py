"""The lab's fleet for tests: booted, and always taken down."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from rehearsal import stage
from rehearsal.lab import lab, packages
from rehearsal.lab.fleet import ORDINARY, Fleet
from rehearsal.lab.lab import Lab
from rehearsal.lab.place import Place

MADE_BY = "tests"


@contextmanager
def booted(fleet: Fleet = ORDINARY) -> Iterator[Lab]:
    """Ten hosts, without databases. Skips where there can be no lab.

    A lab that an earlier run of the tests left behind is taken down first; one that somebody booted by hand stays, and is a
    reason to fail.
    """
    reason = packages.why_not()
    if reason is not None:
        pytest.skip(reason)
    place = Place()
    _down_if_ours(place)
    try:
        yield lab.up(place, print, made_by=MADE_BY, fleet=fleet)
    finally:
        _down_if_ours(place)


def _down_if_ours(place: Place) -> None:
    if place.made_by.exists() and place.made_by.read_text().strip() == MADE_BY:
        stage.take_down(place)
