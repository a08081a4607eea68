"""A primary alone, as it was found."""

from __future__ import annotations

from scripts.discover.found import Found, Machine


def a_machine() -> Machine:
    return Machine(
        instance_id="i-0123456789abcdef0",
        name="db1",
        role="primary",
        tags={},
        address="10.0.0.5",
        public_address=None,
        zone="eu-central-1a",
        vpc_id="vpc-0123456789abcdef0",
        subnet_id="subnet-0123456789abcdef0",
        groups={},
        type="r6i.2xlarge",
        image="ami-0123456789abcdef0",
        key_name=None,
        profile=None,
    )


def a_fleet() -> Found:
    return Found("eu-central-1", "pgleap:", (a_machine(),))
