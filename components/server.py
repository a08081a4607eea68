"""DatabaseServer: an EC2 instance for a new database server, with a security group and a data volume of its own.

Only this file and aws_provider.py import pulumi_aws, and only a stack with instances imports them: that takes half a second of a
processor (measured: pulumi_aws.ec2 0.5 s, pulumi and pulumi_command together 0.3 s), and in the window seconds count.

Nothing here is replaced by accident: the image and the user data count when the instance is made and never again, and what is
protected the engine neither replaces nor deletes. Who replaces an instance on purpose gets the same volume on the new one.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_aws import Provider
from pulumi_aws.ebs import Volume
from pulumi_aws.ec2 import (
    Instance,
    InstanceMetadataOptionsArgs,
    InstanceRootBlockDeviceArgs,
    SecurityGroup,
    VolumeAttachment,
    get_subnet_output,
)
from pulumi_aws.vpc import SecurityGroupEgressRule, SecurityGroupIngressRule

from components import instances, settings
from components.step import FirstContact, Reach
from components.user_data import FirstBoot, programs, user_data

# Xen's name for the first of the devices that AWS recommends for data volumes; on Nitro the disk gets a name of NVMe's.
DEVICE = "/dev/sdf"


@dataclass(frozen=True)
class ServerArgs:
    """The server, which has an `instance`, the settings that it is a part of, its private host key, the provider, and what has to be
    done before any of it is made."""

    server: settings.Server
    settings: settings.Settings
    host_private_key: pulumi.Output[str]
    provider: Provider
    reach: Reach
    after: Sequence[pulumi.Resource] = ()


class DatabaseServer(pulumi.ComponentResource):
    """The instance, and `booted`, the step that waits for its first boot: None where nothing is asked of it. `instance_id` is EC2's."""

    instance_id: pulumi.Output[str]
    booted: FirstContact | None

    def __init__(self, name: str, args: ServerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("pgleap:fleet:DatabaseServer", name, None, opts)
        self._name = name
        self._server = args.server
        assert args.server.instance is not None
        assert args.settings.aws is not None
        self._wanted = args.server.instance
        self._aws = args.settings.aws
        self._provider = args.provider
        self._after = list(args.after)
        self._stay = instances.stay(args.server, args.settings)
        self._boot = FirstBoot(
            layout=args.settings.postgres.layout,
            volume_gib=self._wanted.volume.size,
            versions=(args.settings.versions.old, args.settings.versions.new),
            user=args.settings.ssh.user,
            host_key=str(args.server.host_key),
        )
        group = self._security_group(args.settings)
        volume = self._volume()
        instance = self._instance(group, args.host_private_key)
        attached = self._attachment(instance, volume)
        self.instance_id = instance.id
        asked = instances.is_asked(args.server, args.settings.phase) and not args.server.lost
        self.booted = self._first_contact(args, attached) if asked else None
        self.register_outputs({"instanceId": instance.id, "address": args.server.address})

    def _own(self, *, ignore: list[str] | None = None, delete_first: bool = False) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(
            parent=self,
            provider=self._provider,
            protect=self._stay.protect,
            retain_on_delete=self._stay.retain,
            ignore_changes=ignore,
            delete_before_replace=delete_first,
            depends_on=self._after,
        )

    def _rule(self, group: SecurityGroup) -> pulumi.ResourceOptions:
        """A source that leaves the stack's config is shut out, in every phase; all of them stay where the group stays."""
        return pulumi.ResourceOptions(parent=self, provider=self._provider, deleted_with=group)

    def _tags(self) -> dict[str, str]:
        return {"Name": self._server.name}

    def _security_group(self, fleet: settings.Settings) -> SecurityGroup:
        """SSH from where the stack says; PostgreSQL from the fleet's groups, the old primary, which follows DB_A, and the other new
        databases; out to anywhere, as AWS has it: packages, archives, the old primary."""
        group = SecurityGroup(
            f"{self._name}-security-group",
            description="A new database server of pgleap",
            vpc_id=self._aws.vpc_id,
            tags=self._tags(),
            opts=self._own(),
        )
        for network in self._aws.ssh_from:
            self._ingress(f"ssh-{network}", group, fleet.ssh.port, "SSH from the operator", network=network)
        port = fleet.postgres.port
        for source in self._aws.fleet_groups:
            self._ingress(f"postgres-{source}", group, port, "PostgreSQL from the fleet", group_id=source)
        for other in fleet.with_role(settings.Role.PRIMARY, settings.Role.TARGET, settings.Role.NEW_REPLICA):
            if other is not self._server:
                network = str(ipaddress.ip_network(other.address))
                self._ingress(f"postgres-{other.name}", group, port, f"PostgreSQL from {other.name}", network=network)
        SecurityGroupEgressRule(
            f"{self._name}-out",
            security_group_id=group.id,
            ip_protocol="-1",
            cidr_ipv4="0.0.0.0/0",
            description="Packages, archives, the other databases",
            tags=self._tags(),
            opts=self._rule(group),
        )
        return group

    def _ingress(
        self,
        what: str,
        group: SecurityGroup,
        port: int,
        description: str,
        *,
        network: str | None = None,
        group_id: str | None = None,
    ) -> None:
        is_ipv4 = network is not None and ipaddress.ip_network(network).version == 4
        SecurityGroupIngressRule(
            f"{self._name}-{what}",
            security_group_id=group.id,
            ip_protocol="tcp",
            from_port=port,
            to_port=port,
            cidr_ipv4=network if is_ipv4 else None,
            cidr_ipv6=None if is_ipv4 else network,
            referenced_security_group_id=group_id,
            description=description,
            tags=self._tags(),
            opts=self._rule(group),
        )

    def _volume(self) -> Volume:
        """Apart from the instance, so that it outlives it. Its zone comes from the subnet, not from the instance: to replace the
        instance would be to replace it too, and ignore_changes does not count there (the engine asks the provider without)."""
        wanted = self._wanted.volume
        subnet = get_subnet_output(
            id=self._wanted.subnet_id, opts=pulumi.InvokeOutputOptions(parent=self, provider=self._provider)
        )
        return Volume(
            f"{self._name}-volume",
            availability_zone=subnet.availability_zone,
            type="gp3",
            size=wanted.size,
            iops=wanted.iops,
            throughput=wanted.throughput,
            encrypted=True,
            kms_key_id=wanted.kms_key_id,
            tags={"Name": f"{self._server.name}-data"},
            opts=self._own(),
        )

    def _instance(self, group: SecurityGroup, host_private_key: pulumi.Output[str]) -> Instance:
        told = host_private_key.apply(lambda key: user_data(self._boot, key))
        return Instance(
            f"{self._name}-instance",
            ami=self._wanted.ami,
            instance_type=self._wanted.type,
            subnet_id=self._wanted.subnet_id,
            private_ip=self._server.address,
            associate_public_ip_address=False,
            vpc_security_group_ids=[group.id],
            key_name=self._wanted.key_name,
            iam_instance_profile=self._wanted.profile,
            user_data=told,
            metadata_options=InstanceMetadataOptionsArgs(
                http_endpoint="enabled", http_tokens="required", http_put_response_hop_limit=1
            ),
            root_block_device=InstanceRootBlockDeviceArgs(
                volume_type="gp3", encrypted=True, kms_key_id=self._wanted.volume.kms_key_id, tags=self._tags()
            ),
            tags=self._tags(),
            # Two cannot have one address, or one volume, so a new one only comes after the old one went.
            opts=self._own(ignore=["ami", "user_data"], delete_first=True),
        )

    def _attachment(self, instance: Instance, volume: Volume) -> VolumeAttachment:
        return VolumeAttachment(
            f"{self._name}-attachment",
            device_name=DEVICE,
            instance_id=instance.id,
            volume_id=volume.id,
            # A mounted volume does not let go, and AWS waits for it. It is free once the instance is gone.
            skip_destroy=True,
            opts=self._own(delete_first=True),
        )

    def _first_contact(self, args: ServerArgs, attached: VolumeAttachment) -> FirstContact:
        return FirstContact(
            f"{self._server.name}-boot",
            self._server,
            {"instance": self.instance_id},
            [self._boot.mount, *programs(args.settings)],
            args.reach,
            after=[attached],
            opts=pulumi.ResourceOptions(parent=self),
        )
