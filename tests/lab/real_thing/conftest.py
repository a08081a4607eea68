"""A fleet that nobody did anything to, under traffic, and a stack `rehearsal` beside the operator's."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from rehearsal import stage
from rehearsal.data.fill import Size
from rehearsal.engine.project import Pulumi
from rehearsal.stage import Stage
from tests.lab.booted import booted

WAL_BYTES = 1 << 30


@pytest.fixture(scope="package")
def on_stage() -> Iterator[Stage]:
    """The fleet under traffic, with the operator's stack."""
    with booted() as fleet:
        stage.put_databases(fleet, Size(), print)
        yield stage.put_traffic(fleet, print)


@pytest.fixture(scope="package")
def rehearsal(on_stage: Stage) -> Iterator[Pulumi]:
    """As docs/rehearsal-on-the-real-thing.md has a person make it."""
    pulumi = replace(on_stage.pulumi, stack="rehearsal")
    file = pulumi.project / "Pulumi.rehearsal.yaml"
    try:
        pulumi.run("stack", "init", "rehearsal", "--copy-config-from", on_stage.pulumi.stack).checked()
        pulumi.config_set("pgleap:rehearsal", "true")
        pulumi.config_set("pgleap:limits.rehearsalWalBytes", str(WAL_BYTES))
        # Not among the windows of whoever runs these tests: each would speak twenty times as loud as one of them.
        pulumi.config_set("pgleap:windowRecords", str(on_stage.lab.place.root / "rehearsals.jsonl"))
        yield pulumi
    finally:
        file.unlink(missing_ok=True)
