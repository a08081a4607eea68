"""The config of a way back: it is for the phase that is gone to, not for the one that is left."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any, cast

import pytest

from agent.states import Phase
from components.config_errors import SettingsError
from scripts.window.course import Course, Finished, NoWayError, Way
from scripts.window.engine import Engine, Reading
from scripts.window.window import OpenStack
from tests.unit.example_config import config


class Named:
    stack = "prod"
    checkpoints = False


def opened(raw: dict[str, Any], finished: Finished, *, back: bool) -> OpenStack:
    read: Future[dict[str, Any]] = Future()
    read.set_result(raw)
    done: Future[Finished | None] = Future()
    done.set_result(finished)
    return OpenStack.of(Reading(cast(Engine, Named()), None, read, done), back)


GIVEN_UP = {**config(), "phase": "cutover", "round": "4", "acceptDataLoss": "true"}
STANDS = Finished(Phase.CUTOVER, 4)


def test_a_loss_that_is_accepted_in_cutover_goes_with_the_way_back() -> None:
    """What the refusal of `--back` says to set was a mistake in the config for `--back`."""
    assert opened(GIVEN_UP, STANDS, back=True).course(True) == Course(
        Way.BACK, Phase.UPGRADE, 5, over_upgrade=True, tries=1
    )
    with pytest.raises(SettingsError, match="pulumi config rm acceptDataLoss"):
        opened(GIVEN_UP, STANDS, back=False)


def test_without_db_a_the_way_back_goes_to_prepare_at_once() -> None:
    """There is no upgrade without DB_A: the settings refuse it."""
    raw = {**GIVEN_UP, "servers": {name: dict(server) for name, server in GIVEN_UP["servers"].items()}}
    raw["servers"]["db-a"]["lost"] = True
    assert opened(raw, STANDS, back=True).course(True) == Course(Way.BACK, Phase.PREPARE, 5, tries=1)


def test_what_the_config_asks_for_still_counts() -> None:
    """A stack that asks for replicas goes to cutover first, whatever its config was judged as."""
    with pytest.raises(NoWayError, match="pulumi config set phase cutover && pulumi config set round 5 && pulumi up"):
        opened({**GIVEN_UP, "phase": "replicas"}, STANDS, back=True).course(True)


def test_a_phase_that_there_is_not_is_a_mistake_on_the_way_back_too() -> None:
    """Judged as prepare it would be overlooked."""
    with pytest.raises(SettingsError, match="phase"):
        opened({**GIVEN_UP, "phase": "cutovr"}, STANDS, back=True)
