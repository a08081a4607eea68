"""requirements/: what is asked for is pinned where it is installed from, and a fleet without instances needs nothing of AWS's plug-in."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "requirements"
LINE = re.compile(r"^([A-Za-z0-9_.-]+)(?:\[[^]]*\])?(==\S+)?")


def lines(name: str) -> list[str]:
    """The lines of a file and of those that it refers to, comments and hashes left out."""
    found = []
    for line in (FOLDER / name).read_text().splitlines():
        if line.startswith("-r "):
            found += lines(line.removeprefix("-r "))
        elif LINE.match(line):
            found.append(line)
    return found


def pins(name: str) -> dict[str, str]:
    """Name to version, as pip reads names."""
    return {match[1].lower().replace("_", "-"): match[2] or "" for match in map(LINE.match, lines(name)) if match}


@pytest.mark.parametrize("name", ["product", "aws", "develop"])
def test_everything_that_is_asked_for_is_pinned(name: str) -> None:
    """An installation with hashes ends over one that is missing, on the first machine that is not ours."""
    pinned = pins(f"{name}.txt")
    for asked, version in pins(f"{name}.in").items():
        assert asked in pinned
        assert version in ("", pinned[asked])


def test_a_fleet_without_instances_does_not_get_aws_sdk() -> None:
    """Installed, every preview and `up` asks for AWS's plug-in, minutes long behind a proxy that says nothing."""
    assert "pulumi-aws" not in pins("product.txt")
    assert "pulumi-aws" in pins("aws.txt")


def test_all_environments_have_the_same_versions() -> None:
    """Else what was tested is not what is installed."""
    developed = pins("develop.txt")
    for name in ("product.txt", "aws.txt"):
        assert {asked: version for asked, version in pins(name).items() if developed[asked] != version} == {}
