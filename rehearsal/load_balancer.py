"""The load balancer of the lab: AWS's API by moto, on loopback, with a target group that the drained servers are in by their addresses.

It tells who is in; no request goes through it.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3

from rehearsal.lab import processes
from rehearsal.lab.fleet import NETWORK, Fleet
from rehearsal.lab.place import LabError, Place

if TYPE_CHECKING:
    from types_boto3_elbv2 import ElasticLoadBalancingv2Client

REGION = "eu-central-1"
# What boto3 looks for; nobody checks them.
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "lab", "AWS_SECRET_ACCESS_KEY": "lab", "AWS_EC2_METADATA_DISABLED": "true"}
PROCESS = "load-balancer"
_PORT = 8080
_SECONDS = 60.0


@dataclass(frozen=True)
class LoadBalancer:
    """Where it is asked, its one target group, and the drained servers: name -> address."""

    endpoint: str
    target_group: str
    drained: dict[str, str]

    def members(self) -> set[str]:
        """The names of the servers that are in."""
        found = _client(self.endpoint).describe_target_health(TargetGroupArn=self.target_group)
        addresses = {one["Target"]["Id"] for one in found["TargetHealthDescriptions"]}
        return {name for name, address in self.drained.items() if address in addresses}


def serve(place: Place, fleet: Fleet) -> LoadBalancer:
    """Start it, with every drained server of the fleet in. Raises LabError."""
    port = _free_port()
    process = processes.start(
        place, PROCESS, [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], CREDENTIALS
    )
    deadline = time.monotonic() + _SECONDS
    while not _listens(port):
        if process.poll() is not None or time.monotonic() > deadline:
            raise LabError(
                f"Expected the load balancer to answer within {_SECONDS:.0f} s: see {place.logs / PROCESS}.log."
            )
        time.sleep(0.05)
    endpoint = f"http://127.0.0.1:{port}"
    client, vpc = _client(endpoint), boto3.client("ec2", **_at(endpoint)).create_vpc(CidrBlock=NETWORK)["Vpc"]
    made = client.create_target_group(Name="web", Protocol="HTTP", Port=_PORT, VpcId=vpc["VpcId"], TargetType="ip")
    balancer = LoadBalancer(endpoint, made["TargetGroups"][0]["TargetGroupArn"], fleet.drained)
    if fleet.drained:
        client.register_targets(
            TargetGroupArn=balancer.target_group, Targets=[{"Id": address} for address in fleet.drained.values()]
        )
    _file(place).write_text(json.dumps(vars(balancer)))
    return balancer


def opened(place: Place) -> LoadBalancer:
    """That of a lab that is up."""
    return LoadBalancer(**json.loads(_file(place).read_text()))


def _file(place: Place) -> Path:
    return place.root / "load-balancer.json"


def _client(endpoint: str) -> ElasticLoadBalancingv2Client:
    return boto3.client("elbv2", **_at(endpoint))


def _at(endpoint: str) -> dict[str, Any]:
    return {
        "endpoint_url": endpoint,
        "region_name": REGION,
        "aws_access_key_id": CREDENTIALS["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
    }


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def _listens(port: int) -> bool:
    with socket.socket() as asked:
        return asked.connect_ex(("127.0.0.1", port)) == 0
