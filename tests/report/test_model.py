"""The schema of report.json: what is written is what is read, and nothing else is taken for a report."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from rehearsal.report.model import Report
from tests.report import made_up


def test_the_model_round_trips() -> None:
    """A field lost on the way to the file and back would be missing from the page without a word."""
    report = made_up.report()
    assert Report.model_validate_json(report.model_dump_json()) == report


def test_the_committed_json_is_what_the_made_up_run_gives() -> None:
    """Tests on a JSON that the code does not write any more prove nothing: `python -m tests.report.made_up` writes it anew."""
    assert json.loads(made_up.FILE.read_text()) == json.loads(made_up.report().model_dump_json())


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("version",), 2),
        (("outage", "window", "minutes"), 1),
        (("traffic", "buckets"), 7),
        (("traffic", "lanes", 0, "failed"), []),
        (("moves", 0, "began"), "yesterday"),
    ],
)
def test_what_is_no_report_of_this_version_is_refused(path: tuple[str | int, ...], value: object) -> None:
    """A page of another version's figures would look right and say what was never measured."""
    raw = json.loads(made_up.FILE.read_text())
    place = raw
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(ValidationError):
        Report.model_validate(raw)


def test_the_schema_says_what_its_fields_mean() -> None:
    """The JSON is for programs of others: units and meanings must be where they look, in the schema."""
    schema = Report.model_json_schema()
    assert "Bytes" in schema["$defs"]["Machine"]["properties"]["memory"]["description"]
    assert all("description" in part for part in schema["$defs"].values())
