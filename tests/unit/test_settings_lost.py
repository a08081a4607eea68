"""Servers that are called lost: in which phase there is a way without them, and what the program then leaves out."""

from __future__ import annotations

from typing import Any

import pytest

from agent.states import Phase
from components.config_errors import SettingsError
from components.phases import MoveRefusedError, check_move
from components.plan import authority, plan
from components.settings import Settings
from tests.unit.example_config import config

WAYS: dict[str, set[str]] = {
    "db1": {"upgrade", "cutover", "replicas", "retire"},
    "db2": {"cutover", "replicas", "retire"},
    "db3": {*Phase},
    "db-a": {"prepare"},
    "db-c": {*Phase},
    "web1": {*Phase},
    "worker1": {*Phase},
}


def without(*lost: str, **more: Any) -> dict[str, Any]:
    given = config()
    for name in lost:
        given["servers"][name]["lost"] = True
    return {**given, **more}


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("name", WAYS)
def test_a_lost_server_leaves_a_way_or_a_mistake_that_names_it(name: str, phase: Phase) -> None:
    """A phase that begins without the server it is about fails half-way, with writes refused. db2 serves the reads."""
    given = without(name, phase=phase.value)
    if phase in WAYS[name]:
        assert Settings.from_config(given).servers[name].lost
        return
    with pytest.raises(SettingsError, match="lost"):
        Settings.from_config(given)


def test_the_way_back_is_there_without_any_replica() -> None:
    """The last replica died while writes were refused: a config that asks for another one would keep them refused."""
    given = without("db2", "db3", phase="prepare")
    assert Settings.from_config(given).reads_from.lost
    with pytest.raises(SettingsError, match=r"pgleap:readsFrom: db2 is lost.*set readsFrom db3 && "):
        Settings.from_config(without("db2", phase="prepare"))
    assert Settings.from_config(without("db2", phase="prepare", readsFrom="db3")).reads_from.name == "db3"


def test_no_commit_waits_for_a_lost_replica() -> None:
    """From `replicas` on every write would hang."""
    with pytest.raises(SettingsError, match=r"pgleap:replication.synchronousStandbyNames: db-c is lost"):
        Settings.from_config(without("db-c", replication={"synchronousStandbyNames": 'ANY 1 ("db-c", "db-d")'}))
    assert Settings.from_config(without("db-c", replication={"synchronousStandbyNames": '"db-d"'})).new_replicas


def test_data_loss_is_accepted_on_a_way_back_alone() -> None:
    """Left standing from the last time, it would speak for a loss that nobody has thought of."""
    assert Settings.from_config(without("db-a", acceptDataLoss="true")).accept_data_loss
    for given in (
        without(acceptDataLoss=True, phase="cutover"),
        without("web1", acceptDataLoss="true", phase="readonly"),
    ):
        with pytest.raises(SettingsError, match="pgleap:acceptDataLoss: true on a way that loses nothing"):
            Settings.from_config(given)


def test_not_every_online_server_may_be_lost() -> None:
    """Nobody would be left to read, and the window would count as without an error."""
    with pytest.raises(SettingsError, match="every online server is lost"):
        Settings.from_config(without("web1", "web2"))


def test_a_lost_server_is_in_no_list_of_servers_to_reach() -> None:
    """One step left for it would hold up the rest, or fail at each `up`."""
    settings = Settings.from_config(without("db3", "web2", "web3", "worker2"))
    listed = [*settings.replicas, *settings.online, *settings.drained, *settings.workers, *settings.hosts_servers]
    assert not {"db3", "web2", "web3", "worker2"} & {server.name for server in listed}
    assert settings.names_before["db3.internal.ln"] == settings.servers["db3"].address, "names lead where they led"


def test_from_a_cutover_without_db_a_the_way_is_prepare() -> None:
    """Everything is down then: a way over upgrade, which has nothing to do, would only take longer."""
    check_move(Phase.CUTOVER, 2, Phase.PREPARE, 3, without_target=True)
    with pytest.raises(MoveRefusedError):
        check_move(Phase.CUTOVER, 2, Phase.PREPARE, 3)
    with pytest.raises(MoveRefusedError, match="needs a higher round than 2"):
        check_move(Phase.CUTOVER, 2, Phase.PREPARE, 2, without_target=True)
    with pytest.raises(MoveRefusedError):
        check_move(Phase.CUTOVER, 2, Phase.UPGRADE, 3, without_target=True)


def test_the_plan_says_who_is_left_out() -> None:
    """The plan is what the night is agreed on."""
    told = "\n".join(plan(Settings.from_config(without("db-a", acceptDataLoss=True))))
    assert "db-a: lost, so it is told nothing and asked nothing" in told
    assert "db1: open, takes writes, without what only db-a holds" in told
    assert "db1: ready for prepare" in told
    cutover = Settings.from_config(without("db1", phase="cutover"))
    assert "db-a: opens on the fence that it replayed; db1 is lost, and must not answer" in "\n".join(plan(cutover))
    assert authority(cutover) == "db-a takes writes; db1 is lost"
