"""AWS as the operator's machine reaches it: with the credentials of whoever runs `pulumi up`, found where boto3 looks for them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from scripts.local_step import Desired
from scripts.report import Refusal

if TYPE_CHECKING:
    from types_boto3_ec2 import EC2Client
    from types_boto3_elbv2 import ElasticLoadBalancingv2Client

# Seconds for one connection and one answer. Many servers' steps ask at once, so a request that is throttled is tried again.
PATIENCE = Config(connect_timeout=5, read_timeout=20, retries={"mode": "standard", "max_attempts": 8})


def load_balancing(desired: Desired) -> ElasticLoadBalancingv2Client:
    """The API of load balancers in the desired state's region, at its endpoint if it names one."""
    return boto3.client("elbv2", config=PATIENCE, **_where(desired))


def compute(desired: Desired) -> EC2Client:
    """The API of EC2, found likewise."""
    return boto3.client("ec2", config=PATIENCE, **_where(desired))


def _where(desired: Desired) -> dict[str, Any]:
    return {"region_name": desired["region"], "endpoint_url": desired.get("endpoint")}


@contextmanager
def errors_told(desired: Desired) -> Iterator[None]:
    """What AWS refuses, or that it cannot be asked, as a Refusal."""
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise Refusal(
            f"AWS in {desired['region']} to do what is asked for {desired.get('server', 'the drained servers')}",
            str(error),
            "see to the credentials of this machine (aws sts get-caller-identity), what they may do, and the ids in"
            " pgleap:servers, then run `pulumi up` again",
        ) from None
