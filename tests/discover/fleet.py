"""A fleet in moto: the instances, with their tags, disks, console outputs and target groups, that the tests discover."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.responses.general import General

from tests.unit.example_config import host_key

if TYPE_CHECKING:
    from types_boto3_ec2.type_defs import IpPermissionTypeDef

REGION = "eu-central-1"
OPERATORS = "10.20.9.0/24"
# What stands around it in a real console output: the kernel's lines, and cloud-init's prefix on each of its own.
CONSOLE = """[    0.000000] Linux version 6.1.0-18-cloud-amd64
[   12.1] cloud-init[610]: -----BEGIN SSH HOST KEY KEYS-----
[   12.1] cloud-init[610]: {ecdsa} root@ip-10-20-0-11
[   12.1] cloud-init[610]: {ed25519} root@ip-10-20-0-11
[   12.1] cloud-init[610]: -----END SSH HOST KEY KEYS-----
Debian GNU/Linux 12 ip-10-20-0-11 ttyS0
"""


class Fleet:
    """Two zones, a subnet in each, one security group for databases and one for the rest. Names and addresses are the caller's."""

    def __init__(self, endpoint: str | None = None) -> None:
        self.ec2 = boto3.client("ec2", region_name=REGION, endpoint_url=endpoint)
        self.elbv2 = boto3.client("elbv2", region_name=REGION, endpoint_url=endpoint)
        self.vpc = self.ec2.create_vpc(CidrBlock="10.20.0.0/16")["Vpc"]["VpcId"]
        self.subnets = {
            zone: self._subnet(zone, network) for zone, network in (("a", "10.20.0.0/24"), ("b", "10.20.1.0/24"))
        }
        self.databases = self._group("databases")
        self.clients = self._group("clients")
        self.image = self.ec2.register_image(Name="debian-12")["ImageId"]
        self.ids: dict[str, str] = {}

    def _subnet(self, zone: str, network: str) -> str:
        made = self.ec2.create_subnet(VpcId=self.vpc, CidrBlock=network, AvailabilityZone=f"{REGION}{zone}")
        return made["Subnet"]["SubnetId"]

    def _group(self, name: str) -> str:
        return self.ec2.create_security_group(GroupName=name, Description=name, VpcId=self.vpc)["GroupId"]

    def let_ssh_in(self, *networks: str) -> None:
        rule: IpPermissionTypeDef = {
            "IpProtocol": "tcp",
            "FromPort": 22,
            "ToPort": 22,
            "IpRanges": [{"CidrIp": network} for network in networks],
        }
        self.ec2.authorize_security_group_ingress(GroupId=self.databases, IpPermissions=[rule])

    def launch(self, called: str, role: str, address: str, *, sizes: tuple[int, ...] = (), **tags: str) -> str:
        """A reservation of its own for each; `sizes` in GiB makes data volumes. The Name tag is as people write names."""
        database = role in ("primary", "replica", "target", "new-replica")
        every = {"Name": called, "pgleap:role": role, **{f"pgleap:{key.replace('_', '-')}": tags[key] for key in tags}}
        volumes = [("sda1", 20), *zip(("sdf", "sdg"), sizes, strict=False)]
        made = self.ec2.run_instances(
            ImageId=self.image,
            InstanceType="r6i.2xlarge" if database else "m6i.large",
            MinCount=1,
            MaxCount=1,
            KeyName="fleet",
            SubnetId=self.subnets["a" if address.startswith("10.20.0.") else "b"],
            PrivateIpAddress=address,
            SecurityGroupIds=[self.databases if database else self.clients],
            BlockDeviceMappings=[
                {"DeviceName": f"/dev/{device}", "Ebs": {"VolumeSize": size, "VolumeType": "gp3"}}
                for device, size in volumes
            ],
            TagSpecifications=[
                {"ResourceType": "instance", "Tags": [{"Key": key, "Value": every[key]} for key in every]}
            ],
        )
        self.ids[called] = made["Instances"][0]["InstanceId"]
        return self.ids[called]

    def old_databases(self) -> None:
        self.launch(
            "DB 1",
            "primary",
            "10.20.0.11",
            sizes=(100, 500),
            version="15",
            name="db1",
            database_names="db1.internal.ln, db.internal.ln",
        )
        self.launch("db2", "replica", "10.20.0.12", sizes=(400,), database_names="db2.internal.ln")
        self.launch("db3", "replica", "10.20.1.13", sizes=(600,), database_names="db3.internal.ln")

    def new_databases(self) -> None:
        self.launch("db-a", "target", "10.20.0.14", version="17")
        self.launch("db-c", "new-replica", "10.20.0.15", takes_over="db2")
        self.launch("db-d", "new-replica", "10.20.1.16", takes_over="db3")

    def servers(self) -> None:
        """Two online, two drained, of which a target group knows one by its id and one by its address, and a worker."""
        self.launch("web1", "online", "10.20.1.21", reload="systemctl reload app: now")
        self.launch("web2", "online", "10.20.1.22")
        self.launch("web3", "drained", "10.20.1.23")
        self.launch("web4", "drained", "10.20.1.24")
        self.launch("worker1", "worker", "10.20.1.31", tasks="celery.service,celerybeat.service")

    def target_group(self, name: str, kind: Any, *targets: str) -> str:
        made = self.elbv2.create_target_group(Name=name, Protocol="HTTP", Port=80, VpcId=self.vpc, TargetType=kind)
        arn = made["TargetGroups"][0]["TargetGroupArn"]
        if targets:
            self.elbv2.register_targets(TargetGroupArn=arn, Targets=[{"Id": target} for target in targets])
        return arn


def console_outputs(patch: pytest.MonkeyPatch, silent: tuple[str, ...] = (), late: tuple[str, ...] = ()) -> None:
    """Every instance's console tells keys of its own: moto's is one for all. Two kinds, by Name tag, are otherwise: `silent` ones have
    none, and no Nitro that would tell the latest; `late` ones have them in the latest output only."""

    def get_console_output(self: General) -> ActionResult:
        instance = self.ec2_backend.get_instance(self._get_param("InstanceId"))
        name = next(tag["value"] for tag in instance.get_tags() if tag["key"] == "Name")
        latest = str(self._get_param("Latest")).lower() == "true"
        if name in silent and latest:
            raise EC2ClientError(
                "UnsupportedOperation", "This instance type does not support retrieving the latest console logs"
            )
        keys = {"ecdsa": host_key(name, "ecdsa-sha2-nistp256"), "ed25519": host_key(name)}
        tells = name not in silent and (latest or name not in late)
        text = CONSOLE.format(**keys) if tells else "a console without keys"
        return ActionResult({"InstanceId": instance.id, "Output": base64.b64encode(text.encode()).decode()})

    patch.setattr(General, "get_console_output", get_console_output)
