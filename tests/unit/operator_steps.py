"""What tests of the operator's own steps share: a time that passes at once, and desired states."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from scripts.local_step import Time

REGION = "eu-central-1"
# One of the machine images that moto knows; to have all of them described takes seconds.
MOTOS_IMAGE = "ami-12c6146b"


@dataclass
class FakeTime:
    """Seconds that pass only while somebody sleeps."""

    now: float = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    @property
    def time(self) -> Time:
        return Time(lambda: self.now, self.sleep)


def membership(wanted: str, groups: list[str], **more: Any) -> dict[str, Any]:
    """The desired state of web3 in its target groups."""
    return {
        "server": "web3",
        "address": "10.77.0.23",
        "round": 1,
        "membership": wanted,
        "drainSeconds": 330,
        "healthySeconds": 300,
        "targetGroups": groups,
        "region": REGION,
        **more,
    }
