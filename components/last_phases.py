"""LastPhases: the parts that begin after the window: with `cutover`, `replicas` or `retire`."""

from __future__ import annotations

from collections.abc import Callable

import pulumi

from agent.states import Phase
from components.desired import Desire
from components.fleet_args import FleetArgs, Maker, Steps
from components.move import Credentials, CredentialsArgs
from components.new_replica import (
    NewReplica,
    NewReplicaArgs,
    NewReplicaSessions,
    NewReplicaSessionsArgs,
    Replication,
    ReplicationArgs,
    SynchronousReplication,
    SynchronousReplicationArgs,
)
from components.order import Part
from components.retirement import (
    RetiredInstance,
    RetiredInstanceArgs,
    Retirement,
    RetirementArgs,
    Unused,
    UnusedArgs,
)
from components.settings import Server


class LastPhases:
    """`after_agent` adds the agent on a server to the steps that come before (see Fleet)."""

    def __init__(
        self, args: FleetArgs, own: pulumi.ResourceOptions, after_agent: Callable[[Server, Steps], Steps]
    ) -> None:
        self._settings = args.settings
        self._secrets = args.secrets
        self._reach = args.reach
        self._desire = Desire(args.settings)
        self._own = own
        self._after_agent = after_agent

    def makers(self) -> dict[Part, Maker]:
        """How each of them is declared."""
        return {
            Part.REPLICATION: self._replication,
            Part.SYNCHRONOUS_REPLICATION: self._synchronous_replication,
            Part.NEW_REPLICAS: self._new_replicas,
            Part.NEW_REPLICA_SESSIONS: self._new_replica_sessions,
            Part.UNUSED: self._unused,
            Part.RETIREMENT: self._retirement,
            Part.OLD_INSTANCES: self._old_instances,
        }

    def _replication(self, after: Steps) -> Steps:
        target = self._settings.target
        if not self._settings.new_replicas and self._settings.phase is not Phase.RETIRE:
            return []
        args = ReplicationArgs(target, self._reach, self._desire.replication(), self._after_agent(target, after))
        return [Replication(f"{target.name}-replication", args, self._own).step]

    def _synchronous_replication(self, after: Steps) -> Steps:
        target = self._settings.target
        desired = self._desire.synchronous_replication()
        args = SynchronousReplicationArgs(target, self._reach, desired, self._after_agent(target, after))
        return [SynchronousReplication(f"{target.name}-synchronous-replication", args, self._own).step]

    def _new_replicas(self, after: Steps) -> Steps:
        made = []
        for replica in self._settings.new_replicas:
            secret = {"password": self._secrets.password, "owns_role": False, "replication": self._streams_as()}
            kept = CredentialsArgs(replica, self._reach, secret, self._after_agent(replica, after))
            credentials = Credentials(f"{replica.name}-credentials", kept, self._own).step
            args = NewReplicaArgs(replica, self._reach, self._desire.new_replica(), [*after, credentials])
            made.append(NewReplica(f"{replica.name}-replica", args, self._own).step)
        return made

    def _new_replica_sessions(self, after: Steps) -> Steps:
        made = []
        for replica in self._settings.new_replicas:
            desired = self._desire.new_replica_sessions(replica)
            args = NewReplicaSessionsArgs(replica, self._reach, desired, self._after_agent(replica, after))
            made.append(NewReplicaSessions(f"{replica.name}-sessions-all", args, self._own).step)
        return made

    def _streams_as(self) -> pulumi.Output[dict[str, str]]:
        user = self._settings.replication.user
        return self._secrets.replication_password.apply(lambda password: {"user": user, "password": password})

    def _unused(self, after: Steps) -> Steps:
        made = []
        for server in self._settings.old_databases:
            args = UnusedArgs(server, self._reach, self._desire.unused(), self._after_agent(server, after))
            made.append(Unused(f"{server.name}-unused", args, self._own).step)
        return made

    def _retirement(self, after: Steps) -> Steps:
        made = []
        for server in self._settings.old_databases:
            args = RetirementArgs(server, self._reach, self._desire.retirement(), self._after_agent(server, after))
            made.append(Retirement(f"{server.name}-retirement", args, self._own).step)
        return made

    def _old_instances(self, after: Steps) -> Steps:
        made = []
        for server in self._settings.terminated:
            args = RetiredInstanceArgs(server, self._reach, self._desire.retired_instance(server), after)
            made.append(RetiredInstance(f"{server.name}-instance", args, self._own).step)
        return made
