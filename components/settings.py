"""Stack config -> frozen, validated settings. Pure: it reads nothing but what it is given, and reports every mistake at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, ValidationError

from agent.states import Phase
from components.aws_settings import Aws, LoadBalancer
from components.config_checks import cross_checks
from components.config_errors import SettingsError, missing_key, rephrased
from components.config_fields import DatabaseName, OneLine, ServerName
from components.config_part import Part, Positive
from components.settings_parts import (
    Bastion,
    Layout,
    Limits,
    Places,
    Postgres,
    Preflight,
    Replication,
    ReverseReplication,
    Role,
    Server,
    Ssh,
    Versions,
)

__all__ = [
    "SECRETS",
    "Bastion",
    "Layout",
    "Limits",
    "Places",
    "Postgres",
    "Preflight",
    "Replication",
    "ReverseReplication",
    "Role",
    "Server",
    "Settings",
    "Ssh",
    "Versions",
]

# What travels as a Pulumi secret, and never becomes part of the settings.
SECRETS = ("password", "replicationPassword", "hostPrivateKeys")


def _named(servers: object) -> object:
    """Give each server the name that is its key."""
    if not isinstance(servers, Mapping):
        return servers
    return {k: {**v, "name": k} if isinstance(v, Mapping) else v for k, v in servers.items()}


def _has_new_replicas(given: Mapping[str, Any]) -> bool:
    servers = given.get("servers")
    each = servers.values() if isinstance(servers, Mapping) else ()
    return any(isinstance(one, Mapping) and one.get("role") == Role.NEW_REPLICA for one in each)


class Settings(Part):
    """Everything the stack config says but the secrets, which travel as Pulumi's own. Servers keep the config's order."""

    phase: Phase = Field(
        description="one of prepare, readonly, upgrade, cutover, replicas, retire; a fleet begins with prepare"
    )
    round: Positive = Field(description="a whole number from 1 on; a fleet begins with 1")
    versions: Versions = Field(description="PostgreSQL's major versions, {old: 15, new: 17}")
    servers: Annotated[dict[ServerName, Server], BeforeValidator(_named)] = Field(
        description="every server of the fleet, name: {role, address, hostKey}"
    )
    names: dict[DatabaseName, str] = Field(
        description="every database name in the servers' /etc/hosts and the server it names before the upgrade"
    )
    reads_from_name: str = Field(
        alias="readsFrom", description="DB_B: the replica that serves reads while writes are refused"
    )
    ssh: Ssh = Field(description="how to reach the servers, at least {user: ...}")
    accept_unknown_host_keys: bool = False
    accept_data_loss: bool = False
    postgres: Postgres = Postgres()
    limits: Limits = Limits()
    reverse_replication: ReverseReplication = ReverseReplication()
    replication: Replication = Replication()
    aws: Aws | None = None
    load_balancer: LoadBalancer = LoadBalancer()
    terminate: bool = False
    rehearsal: bool = False
    preflight: Preflight = Preflight()
    outage_budget: Positive | None = None
    window_records: OneLine = ".pgleap/windows.jsonl"

    @classmethod
    def from_config(cls, raw: Mapping[str, Any]) -> Self:
        """The settings in `raw`: the stack's `pgleap:` keys without that prefix, objects already decoded.

        Of the secrets only whether there are any is looked at. Empty values count as not given: Pulumi.yaml's defaults
        are empty, so that the engine does not stop at the first missing key. Raises SettingsError with every mistake.
        """
        given = {key: value for key, value in raw.items() if value not in ("", None) and value != {}}
        required = {field.alias for field in cls.model_fields.values() if field.is_required()}
        if not required & given.keys():
            raise SettingsError.nothing_configured()
        secrets = {key: given.pop(key, None) for key in SECRETS}
        needed = ("password", *(("replicationPassword",) if _has_new_replicas(given) else ()))
        mistakes = [missing_key(key) for key in needed if not secrets[key]]
        settings: Self | None = None
        try:
            settings = cls.model_validate(given)
        except ValidationError as error:
            mistakes += [rephrased(detail, cls) for detail in error.errors(include_url=False)]
        mistakes += cross_checks(given)
        if mistakes or settings is None:
            raise SettingsError(mistakes)
        return settings

    def with_role(self, *roles: Role) -> tuple[Server, ...]:
        return tuple(server for server in self.servers.values() if server.role in roles)

    def _alive(self, *roles: Role) -> tuple[Server, ...]:
        return tuple(server for server in self.with_role(*roles) if not server.lost)

    @property
    def primary(self) -> Server:
        return self.with_role(Role.PRIMARY)[0]

    @property
    def target(self) -> Server:
        """DB_A."""
        return self.with_role(Role.TARGET)[0]

    @property
    def replicas(self) -> tuple[Server, ...]:
        """The old replicas that are not lost."""
        return self._alive(Role.REPLICA)

    @property
    def new_replicas(self) -> tuple[Server, ...]:
        """The new version's replicas that are not lost."""
        return self._alive(Role.NEW_REPLICA)

    @property
    def old_databases(self) -> tuple[Server, ...]:
        """The old primary and the old replicas that are not lost: what `retire` stops."""
        return self._alive(Role.REPLICA, Role.PRIMARY)

    @property
    def terminated(self) -> tuple[Server, ...]:
        """The old databases whose instances end with `retire`: the stack says so, and gives their ids."""
        return tuple(server for server in self.old_databases if self.terminate and server.instance_id)

    @property
    def reads_from(self) -> Server:
        """DB_B."""
        return self.servers[self.reads_from_name]

    @property
    def online(self) -> tuple[Server, ...]:
        return self._alive(Role.ONLINE)

    @property
    def drained(self) -> tuple[Server, ...]:
        return self._alive(Role.DRAINED)

    @property
    def balanced(self) -> tuple[Server, ...]:
        """The drained servers of which the stack says how they leave and rejoin the load balancer."""
        by_command = self.load_balancer.commands is not None
        return tuple(server for server in self.drained if by_command or server.target_groups)

    @property
    def workers(self) -> tuple[Server, ...]:
        return self._alive(Role.WORKER)

    @property
    def hosts_servers(self) -> tuple[Server, ...]:
        """The servers whose hosts file is managed."""
        return self._alive(Role.ONLINE, Role.DRAINED, Role.WORKER)

    def names_of(self, server: Server) -> tuple[str, ...]:
        """The database names that lead to `server` before the upgrade."""
        return tuple(name for name, owner in self.names.items() if owner == server.name)

    @property
    def names_before(self) -> dict[str, str]:
        """Database name -> address, as it is before the upgrade."""
        return {name: self.servers[owner].address for name, owner in self.names.items()}

    @property
    def names_spread(self) -> dict[str, str]:
        """Database name -> address from `replicas` on: an old replica's names lead to the new one that takes them over, if one does."""
        heirs = {replica.takes_over: replica.address for replica in self.new_replicas}
        return {name: heirs.get(owner, self.target.address) for name, owner in self.names.items()}

    @property
    def names_after(self) -> dict[str, str]:
        """Database name -> address at `cutover`: DB_A, or for a living old replica's names that replica, if they are to stay."""
        stay = {replica.name for replica in self.replicas} if self.reverse_replication.replicas_keep_names else set()
        return {
            name: self.servers[owner].address if owner in stay else self.target.address
            for name, owner in self.names.items()
        }

    def names_to(self, server: Server) -> dict[str, str]:
        """Database name -> address, with every name leading to `server`."""
        return dict.fromkeys(self.names, server.address)
