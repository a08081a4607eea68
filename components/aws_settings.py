"""The part of the stack config that is about AWS: instances that the program makes, and the load balancer. Pure."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from components.config_fields import (
    Cidr,
    LaunchId,
    OneLine,
    SecurityGroupId,
    SubnetId,
    TargetGroupArn,
    VpcId,
    Word,
    one_item_is_no_list,
)
from components.config_part import Part, Positive

SecurityGroupIds = Annotated[tuple[SecurityGroupId, ...], BeforeValidator(one_item_is_no_list)]
TargetGroupArns = Annotated[tuple[TargetGroupArn, ...], BeforeValidator(one_item_is_no_list)]


class Volume(Part):
    """The data volume of an instance: gp3, encrypted. `size` in GiB, `iops` per second, `throughput` in MiB/s; the least of each
    is what gp3 has without paying more (AWS documentation, "General Purpose SSD volumes")."""

    size: Positive = Field(description="its size in GiB, no less than the old primary's data volume has")
    iops: Annotated[int, Field(ge=3000, le=80000)] = 3000
    throughput: Annotated[int, Field(ge=125, le=2000)] = 125
    kms_key_id: OneLine | None = None


class Instance(Part):
    """An EC2 instance that the program makes for a server; it gets the server's `address`, which every preview knows by that."""

    type: Word = Field(description="the instance type, such as r6i.2xlarge")
    ami: LaunchId = Field(
        description="the machine image, such as ami-0123456789abcdef0; looked at only when it is made"
    )
    subnet_id: SubnetId = Field(description="the subnet that the server's address belongs to")
    volume: Volume = Field(description="its data volume, at least {size: <GiB>}")
    key_name: OneLine | None = None
    profile: OneLine | None = None


class Aws(Part):
    """Where AWS is asked, and what the instances that the program makes share: those need `vpc_id` and the next two. `ssh_from`: where SSH may come from, the operator's addresses or the bastion's; `fleet_groups`:
    the security groups of the servers that use the databases, and of the old databases. `endpoint`: one address for all that is
    asked of AWS, as a stand-in of it has. `keep_databases`: `pulumi destroy` leaves databases that have taken over."""

    region: Word = Field(description="the region, such as eu-central-1")
    vpc_id: VpcId | None = None
    ssh_from: Annotated[tuple[Cidr, ...], BeforeValidator(one_item_is_no_list)] = ()
    fleet_groups: SecurityGroupIds = ()
    endpoint: OneLine | None = None
    tags: dict[str, OneLine] = Field(default_factory=dict)
    keep_databases: bool = True


class Commands(Part):
    """How a server leaves and rejoins a load balancer that is none of AWS's: programs with their arguments, run on the operator's
    machine, in which {server} and {address} are replaced."""

    out: Annotated[tuple[OneLine, ...], BeforeValidator(one_item_is_no_list)] = Field(
        description="the program and its arguments that take a server out, such as [./lb, out, '{address}']"
    )
    in_: Annotated[tuple[OneLine, ...], BeforeValidator(one_item_is_no_list)] = Field(
        alias="in", description="the program and its arguments that put a server in"
    )

    def of(self, server: str, address: str, *, inside: bool) -> list[str]:
        """The program and its arguments for one server."""
        words = self.in_ if inside else self.out
        return [word.replace("{server}", server).replace("{address}", address) for word in words]


class LoadBalancer(Part):
    """Drained servers' membership: in AWS target groups (each server names its own), or by `commands`. Seconds to wait for a server's
    connections to drain, and for it to be healthy again."""

    commands: Commands | None = None
    drain_seconds: Positive = 330
    healthy_seconds: Positive = 300
