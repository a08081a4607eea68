"""Settings of load balancers and of instances that end: what does not fit is reported with its path."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from components.config_errors import SettingsError
from components.settings import Settings
from tests.unit.example_config import AWS, COMMANDS, balanced, config, target_group

ELSEWHERE = target_group("web").replace("eu-central-1", "us-east-1")


def changed(raw: dict[str, Any], **servers: dict[str, Any]) -> dict[str, Any]:
    """`raw` with more keys for some servers, whose hyphens are underscores here."""
    given = copy.deepcopy(raw)
    for name, more in servers.items():
        given["servers"][name].update(more)
    return given


def without(raw: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in raw.items() if name != key}


def commands(**given: Any) -> dict[str, Any]:
    return {**config(), "loadBalancer": {"commands": {**COMMANDS, **given}}}


CASES: list[tuple[dict[str, Any], str, str]] = [
    (without(balanced(), "aws"), "pgleap:aws", "missing; web3, web4 have targetGroups"),
    (
        {**balanced(), "loadBalancer": {"commands": COMMANDS}},
        "pgleap:loadBalancer.commands",
        "web3, web4 would leave by these and by targetGroups; give one of the two",
    ),
    (
        changed(balanced(), web4={"targetGroups": [target_group("api"), ELSEWHERE]}),
        "pgleap:servers.web4.targetGroups[1]",
        "a target group in us-east-1, while pgleap:aws.region is eu-central-1",
    ),
    (
        changed(balanced(), web4={"targetGroups": [target_group("api")] * 2}),
        "pgleap:servers.web4.targetGroups",
        "the same target group twice",
    ),
    (
        changed(balanced(), web4={"instanceId": "i-0123456789abcdef3"}),
        "pgleap:servers.web4.instanceId",
        "is web3's instance too; give each server its own",
    ),
    (commands(out=["./lb", "{name}"]), "pgleap:loadBalancer.commands.out", '"{name}" is replaced by nothing'),
    (
        commands(out=["./lb", "{}"]),
        "pgleap:loadBalancer.commands.out",
        "say which one it is with {server} or {address}",
    ),
    (commands(**{"in": ["./lb", "in"]}), "pgleap:loadBalancer.commands.in", "the same for every server"),
    (commands(out=[]), "pgleap:loadBalancer.commands.out", "is empty; give the program"),
    (commands(out="./lb out"), "pgleap:loadBalancer.commands.out", "write it as a list"),
    ({**balanced(), "terminate": True}, "pgleap:terminate", "no old database has an instanceId; give db1, db2, db3"),
    (
        changed({**config(), "terminate": "true"}, db2={"instanceId": "i-0123456789abcdef2"}),
        "pgleap:aws",
        "missing; the instances of db2 are to be terminated",
    ),
]


@pytest.mark.parametrize(("raw", "path", "says"), CASES, ids=lambda value: value if isinstance(value, str) else "")
def test_each_mistake_is_reported_where_it_is_with_what_to_do(raw: dict[str, Any], path: str, says: str) -> None:
    """In the window each of these is a server that stays in, or one that was not meant."""
    with pytest.raises(SettingsError) as refused:
        Settings.from_config(raw)
    assert any(line.startswith(f"{path}: ") and says in line for line in refused.value.mistakes), refused.value.mistakes


@pytest.mark.parametrize(
    "raw",
    [
        balanced(),
        commands(),
        # Braces that hold no word, as in a command that speaks JSON, are the command's own.
        commands(out=["curl", "-d", '{"state": "drain"}', "http://lb/{server}"]),
        changed({**config(), "aws": AWS, "terminate": True}, db1={"instanceId": "i-0123456789abcdef1"}),
    ],
    ids=["target groups", "commands", "JSON", "terminate"],
)
def test_what_fits_is_taken(raw: dict[str, Any]) -> None:
    """A check that is too strict keeps a fleet from its upgrade."""
    Settings.from_config(raw)
