"""AWS that is none: credentials of nobody, and a run of the script in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
import typer
import yaml
from moto import mock_aws

from scripts.discover.__main__ import PREFIX, main
from tests.discover.fleet import REGION, Fleet, console_outputs


class Printed(NamedTuple):
    """What one run said, and how it ended."""

    status: int
    stdout: str
    stderr: str

    @property
    def config(self) -> dict[str, Any]:
        """The keys as the program gets them."""
        return {key.removeprefix("pgleap:"): value for key, value in yaml.safe_load(self.stdout)["config"].items()}


Discover = Callable[..., Printed]


@pytest.fixture(autouse=True)
def nobodys_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")
    for name in ("AWS_PROFILE", "AWS_DEFAULT_REGION", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    # Its 1,285 images take three seconds to read.
    monkeypatch.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
    console_outputs(monkeypatch)


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    """An empty account with a VPC; the test launches what it is about."""
    with mock_aws():
        yield Fleet()


@pytest.fixture
def discover(capsys: pytest.CaptureFixture[str]) -> Discover:
    def run(**options: Any) -> Printed:
        given = {"region": REGION, "vpc": None, "tag_prefix": PREFIX, "endpoint_url": None}
        wishes = {"ssh_user": "deploy", "new_version": None}
        with pytest.raises(typer.Exit) as ended:
            main(**{**given, **wishes, **options})
        out = capsys.readouterr()
        return Printed(ended.value.exit_code, out.out, out.err)

    return run
