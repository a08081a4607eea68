"""The YAML that is printed: whatever stands in a tag, what is read back is what was meant."""

from __future__ import annotations

from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as some

from scripts.discover.lines import Line, Unknown, document

TEXT = some.text(some.characters(exclude_categories=["Cs"]), max_size=30)
SCALARS = TEXT | some.integers() | some.booleans() | some.lists(TEXT, max_size=3)


@settings(max_examples=100, deadline=None)
@given(some.dictionaries(TEXT.filter(str.strip), some.tuples(SCALARS, TEXT), min_size=1, max_size=4))
def test_what_is_read_back_is_what_was_written(values: dict[str, Any]) -> None:
    """A value that turns into another, a comment that ends early, or a tag that becomes a key of its own."""
    block = [Line(key, value, why) for key, (value, why) in values.items()]
    read = yaml.safe_load(document([Line("config", [Line("pgleap:servers", block)])]))
    assert read == {"config": {"pgleap:servers": {key: value for key, (value, _) in values.items()}}}


def test_a_block_of_unknowns_is_no_null() -> None:
    """`ssh:` with nothing but comments below is null, which the program would take for a mistake of another kind."""
    unknown = Line("ssh", [Line("user", Unknown("deploy"), "Say who.")])
    written = document([Line("config", [Line("region", "eu-central-1"), unknown])])
    assert yaml.safe_load(written) == {"config": {"region": "eu-central-1"}}
    assert written.splitlines()[2:] == ["  # ssh:", "    # Say who.", "    # user: deploy"]
