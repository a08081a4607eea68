"""What the plugin reports as changed."""

import pytest

from rehearsal.plugins.changes import Kind, changes
from rehearsal.plugins.values import Asset, Secret, Unknown, Values


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({"stdin": "a"}, {"stdin": "a"}, {}),
        ({"stdin": "a"}, {"stdin": "b"}, {"stdin": Kind.UPDATE}),
        ({}, {"delete": "d"}, {"delete": Kind.ADD}),
        ({"delete": "d"}, {}, {"delete": Kind.DELETE}),
        ({"triggers": ["a", "b"]}, {"triggers": ["a", "c"]}, {"triggers[1]": Kind.UPDATE}),
        ({"triggers": ["a"]}, {"triggers": ["a", "b"]}, {"triggers[1]": Kind.ADD}),
        ({"triggers": ["a", "b"]}, {"triggers": ["a"]}, {"triggers[1]": Kind.DELETE}),
        ({"environment": {"A": "1"}}, {"environment": {"A": "2"}}, {"environment.A": Kind.UPDATE}),
        ({"environment": {"a-b": "1"}}, {"environment": {}}, {'environment["a-b"]': Kind.DELETE}),
        ({"connection": Secret({"host": "a"})}, {"connection": Secret({"host": "b"})}, {"connection": Kind.UPDATE}),
        ({"stdin": "a"}, {"stdin": Secret("a")}, {"stdin": Kind.UPDATE}),
        ({"stdin": "a"}, {"stdin": Unknown()}, {"stdin": Kind.UPDATE}),
        ({"triggers": [1.0]}, {"triggers": [True]}, {"triggers[0]": Kind.UPDATE}),
        ({"source": Asset(False, "h", path="/a")}, {"source": Asset(False, "h", path="/b")}, {}),
        ({"source": Asset(False, "h")}, {"source": Asset(False, "i")}, {"source": Kind.UPDATE}),
    ],
)
def test_changes(old: Values, new: Values, expected: dict[str, Kind]) -> None:
    """A change that is missed leaves a server as it was; one that is made up runs a step for nothing."""
    assert changes(old, new) == expected
