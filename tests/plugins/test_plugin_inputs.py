"""What the plugin makes of a resource's inputs, and what it refuses."""

import pytest

from rehearsal.plugins.inputs import COPY_TO_REMOTE, LOCAL_COMMAND, REMOTE_COMMAND, check
from rehearsal.plugins.values import Asset, Secret, Unknown, Values

FILE = Asset(False, "h", path="/agent.pyz")


def reasons(token: str, inputs: Values) -> list[str]:
    return [f"{failure.property}: {failure.reason}" for failure in check(token, inputs)[1]]


def test_defaults_are_filled_in_and_the_connection_is_secret() -> None:
    """Without the defaults a later version of the program that spells them out would change every step."""
    inputs, failures = check(REMOTE_COMMAND, {"connection": {"host": "db1", "privateKey": "k", "dialErrorLimit": 2.0}})
    assert failures == []
    assert inputs["connection"] == Secret(
        {
            "host": "db1",
            "user": "root",
            "port": 22.0,
            "dialErrorLimit": 2.0,
            "perDialTimeout": 15.0,
            "privateKey": Secret("k"),
        }
    )


def test_a_proxy_gets_defaults_only_where_there_is_one() -> None:
    """A proxy made of defaults alone would be dialled."""
    inputs, _ = check(REMOTE_COMMAND, {"connection": {"host": "db1", "proxy": {"host": "bastion", "password": "p"}}})
    assert isinstance(inputs["connection"], Secret)
    connection = inputs["connection"].value
    assert isinstance(connection, dict)
    assert connection["proxy"] == {
        "host": "bastion",
        "user": "root",
        "port": 22.0,
        "dialErrorLimit": 10.0,
        "perDialTimeout": 15.0,
        "password": Secret("p"),
    }


def test_other_inputs_stay_as_they_are() -> None:
    """A default for `logging` or `addPreviousOutputInEnv` in the state would be a change against the real plugin's."""
    given: Values = {"create": "c", "stdin": Secret("s"), "triggers": ["t"]}
    assert check(LOCAL_COMMAND, given) == (given, [])


def test_a_secret_that_is_unknown_becomes_an_empty_secret() -> None:
    """The real plugin loses that it is unknown; a rehearsal that keeps it would show another preview."""
    inputs, _ = check(REMOTE_COMMAND, {"connection": {"host": "db1"}, "stdin": Secret(Unknown())})
    assert inputs["stdin"] == Secret("")


def test_what_is_unknown_passes() -> None:
    """A preview must not fail over what is only known later."""
    assert reasons(REMOTE_COMMAND, {"connection": {"host": Unknown()}, "stdin": Unknown()}) == []


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ({"create": "c"}, ["connection: Missing required field 'connection' on 'remote.CommandInputs'"]),
        (
            {"connection": {"user": "u"}},
            [
                (
                    "connection: An error occurred decoding 'CommandInputs.connection': 1 failures decoding:\n"
                    "\thost: Missing required field 'host' on 'remote.Connection'"
                )
            ],
        ),
        (
            {"connection": {"host": "h"}, "sdtin": "x"},
            ["sdtin: Unrecognized field 'sdtin' on 'remote.CommandInputs'"],
        ),
        (
            {"connection": {"host": "h"}, "create": 1.0},
            ["create: Field 'create' on 'remote.CommandInputs' must be a 'string'; got 'float64' instead"],
        ),
        (
            {"connection": {"host": "h"}, "environment": {"A": 1.0}},
            [
                (
                    "environment[A] value: Field 'environment[A] value' on 'remote.CommandInputs' must be a 'string'; "
                    "got 'float64' instead"
                )
            ],
        ),
    ],
)
def test_mistakes_are_told_as_the_real_plugin_tells_them(inputs: Values, expected: list[str]) -> None:
    """An input that the real plugin refuses and the stand-in takes passes every rehearsal."""
    assert reasons(REMOTE_COMMAND, inputs) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (FILE, []),
        (Asset(False, "h", text="t"), []),
        (Asset(True, "h", path="/folder"), []),
        (Unknown(), ["asset: either asset or archive must be set"]),
        (Asset(False, "h", uri="https://x"), ["asset: asset must be a path-based file asset or a text asset"]),
        (Asset(True, "h"), ["archive: archive must be a path to a file or directory"]),
    ],
)
def test_what_may_be_copied(source: Asset | Unknown, expected: list[str]) -> None:
    """A source that is only made during the update is refused in the preview already."""
    assert reasons(COPY_TO_REMOTE, {"connection": {"host": "h"}, "source": source, "remotePath": "/p"}) == expected
