"""What the stack config's larger keys hold: a server, SSH, PostgreSQL, limits, and so on. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from agent.check_names import CheckName
from components.aws_settings import Instance, TargetGroupArns
from components.config_errors import did_you_mean
from components.config_fields import (
    AbsolutePath,
    Address,
    HostKey,
    HostOrAddress,
    InstanceId,
    KeyFile,
    OneLine,
    Port,
    Reason,
    ServerName,
    Table,
    Unit,
    WalSize,
    Word,
    one_item_is_no_list,
    shown,
    whole_number,
)
from components.config_part import NotNegative, Part, Positive

Version = Annotated[int, BeforeValidator(whole_number)]


class Role(StrEnum):
    """What a server is for; see design.md's words."""

    PRIMARY = "primary"
    REPLICA = "replica"
    TARGET = "target"
    NEW_REPLICA = "new-replica"
    ONLINE = "online"
    DRAINED = "drained"
    WORKER = "worker"


class Server(Part):
    """One server of the fleet. `name` is its key in `pgleap:servers`. A `lost` one is dead: nothing is asked of it any more.

    `instance` has the program make it on EC2; without it the server is there already. `instance_id` is that of one which is there:
    what a target group knows a drained server by, and what `terminate` ends of the old databases.
    """

    name: ServerName
    role: Role = Field(description="one of primary, replica, target, new-replica, online, drained, worker")
    address: Address = Field(description="the private address that the other servers and SSH reach it at")
    host_key: HostKey | None = None
    reload: OneLine | None = None
    tasks: Annotated[tuple[Unit, ...], BeforeValidator(one_item_is_no_list)] = ()
    keep_until: Literal["upgrade"] | None = None
    takes_over: ServerName | None = None
    instance: Instance | None = None
    instance_id: InstanceId | None = None
    target_groups: TargetGroupArns = ()
    lost: bool = False


class Versions(Part):
    """PostgreSQL's major versions, before and after."""

    old: Version = Field(description="the major version that the fleet runs, such as 15")
    new: Version = Field(description="the major version that it goes to, such as 17")


class Bastion(Part):
    """The server that SSH goes through. `user` is that of `pgleap:ssh` when not given."""

    address: HostOrAddress = Field(description="the bastion's host name or address")
    user: Word | None = None
    port: Port = 22
    host_key: HostKey | None = None


class Ssh(Part):
    """How the operator's machine reaches the servers. Without a key file the SSH agent is asked."""

    user: Word = Field(description="the user to log in as, who may use sudo without a password")
    port: Port = 22
    private_key_file: KeyFile | None = None
    bastion: Bastion | None = None

    @property
    def bastion_user(self) -> str | None:
        """The user on the bastion; None if there is no bastion."""
        return None if self.bastion is None else self.bastion.user or self.user


class Layout(StrEnum):
    """Where a distribution's packages put PostgreSQL: Debian's own, or the PGDG RPMs."""

    DEBIAN = "debian"
    RHEL = "rhel"


class Places(Part):
    """Where one version's parts are, if not where the layout has them."""

    bin: AbsolutePath | None = None
    data: AbsolutePath | None = None
    config: AbsolutePath | None = None
    unit: Unit | None = None


class Postgres(Part):
    """PostgreSQL on the database servers. `socket_folder` is where their sockets are, if a running server's own word for it (postmaster.pid) will not do; `transfer_mode` and `jobs` are pg_upgrade's; `archive_command` is DB_A's own, set
    before it opens: the old primary's archive must not get a second history."""

    layout: Layout = Layout.DEBIAN
    cluster: Word = "main"
    port: Port = 5432
    superuser: Word = "postgres"
    socket_folder: AbsolutePath | None = None
    transfer_mode: Literal["link", "clone", "copy"] = "link"
    jobs: Positive = 2
    archive_command: OneLine | None = None
    old: Places = Places()
    new: Places = Places()


class ReverseReplication(Part):
    """The stream back to the old primary from `cutover` on. `leave_out` names tables as `database.schema.table`, in double quotes or not; `verify` is what is
    compared before the old primary opens again; `slot_wal_keep_size` is DB_A's `max_slot_wal_keep_size`.

    With `replicas_keep_names` only the old primary's names lead to DB_A at `cutover`: the old replicas follow by way of the old
    primary, and go on serving the reads that their names bring, for as long as DB_A has no statistics yet, say.
    """

    enabled: bool = True
    leave_out: Annotated[tuple[Table, ...], BeforeValidator(one_item_is_no_list)] = ()
    verify: Literal["counts", "full"] = "counts"
    slot_wal_keep_size: WalSize | None = None
    replicas_keep_names: bool = False


class Replication(Part):
    """How the new replicas stream from DB_A, for good: as a role of the fleet's own, whose password is the secret `replicationPassword`.

    `synchronous_standby_names` is DB_A's from `replicas` on; the new replicas' application names are their servers' names.
    """

    user: Word = "replicator"
    synchronous_standby_names: OneLine | None = None


class Limits(Part):
    """What is waited for, and how long: bytes and seconds, as the names say."""

    lag_bytes: Positive = 16_777_216
    lag_seconds: Positive = 10
    grace_seconds: NotNegative = 10
    replay_seconds: Positive = 60
    upgrade_seconds: Positive = 600
    base_backup_seconds: Positive = 86_400
    stream_seconds: Positive = 120
    watch_seconds: Positive = 5
    rehearsal_wal_bytes: Positive = 17_179_869_184


def _check_name(name: object) -> object:
    """All names would be too long a line."""
    known = [check.value for check in CheckName]
    if isinstance(name, str) and name not in known:
        near = did_you_mean(name, known) or "; docs/preflight.md lists them"
        raise ValueError(f"{shown(name)} is no check of preflight{near}")
    return name


class Preflight(Part):
    """What scripts.preflight finds and a person accepts: the check's name, and the reason, which is shown with it ever after."""

    accept: dict[Annotated[CheckName, BeforeValidator(_check_name)], Reason] = Field(default_factory=dict)
