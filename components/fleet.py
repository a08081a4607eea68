"""Fleet: all parts, declared in the order of the phase that is gone to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pulumi

from agent.states import Gate, Phase
from components import instances
from components.agent import Agent, AgentArgs
from components.client_gate import ClientGate, ClientGateArgs
from components.desired import Desire
from components.desired_many import hosts_files, load_balancer, offline_tasks
from components.desired_preflight import for_ready
from components.fleet_args import FleetArgs, Maker, Steps
from components.hosts_file import HostsFile, HostsFileArgs, HostsFiles, HostsFilesArgs
from components.last_phases import LastPhases
from components.load_balancer import LoadBalancer, LoadBalancerArgs
from components.machines import Machines
from components.move import (
    Announcement,
    AnnouncementArgs,
    Credentials,
    CredentialsArgs,
    Finish,
    FinishArgs,
    Readiness,
    ReadinessArgs,
)
from components.offline_tasks import OfflineTasks, OfflineTasksArgs
from components.old_replica_sessions import (
    OldReplicaAccess,
    OldReplicaAccessArgs,
    OldReplicaSessions,
    OldReplicaSessionsArgs,
)
from components.order import ORDER, Part
from components.phases import Lead
from components.reverse_replication import ReverseReplication, ReverseReplicationArgs
from components.settings import Role, Server
from components.step import LocalStep, Step
from components.upgrade_target import UpgradeTarget, UpgradeTargetArgs


class Fleet(pulumi.ComponentResource):
    """The fleet in its phase. `finished` is what the last step found: phase and round. `after_cutover`: what a way back from there
    would not bring along, as far as it can be told in `prepare`; empty in other phases. `instances`: the ids of those that the
    program makes on EC2, by the server's name."""

    finished: pulumi.Output[dict[str, Any]]
    after_cutover: pulumi.Output[dict[str, Any]]
    instances: dict[str, pulumi.Output[str]]

    def __init__(self, name: str, args: FleetArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("pgleap:fleet:Fleet", name, None, opts)
        self._args = args
        self._settings = args.settings
        self._desire = Desire(args.settings)
        self._agents: dict[str, Step] = {}
        self._announced: Steps = []
        self._opened: Steps = []
        self._hosts_steps: dict[str, Step] = {}
        first, last = instances.in_order(args.settings)
        self._machines = Machines(args, self._own())
        self._machines.make(first)
        self.after_cutover = pulumi.Output.from_input({})
        makers = self._makers()
        after: Steps = []
        for stage in ORDER[args.settings.phase]:
            made = [step for part in stage for step in makers[part](after)]
            after = made or after
        self._machines.make(last, after)
        self.instances = self._machines.ids
        self.register_outputs({"finished": self.finished, "after_cutover": self.after_cutover})

    def _makers(self) -> dict[Part, Maker]:
        """How each part is declared."""
        settings, desire = self._settings, self._desire
        primary, target = settings.primary, settings.target
        others = (*settings.drained, *settings.workers)
        online, elsewhere = desire.parts.online_hosts, desire.parts.other_hosts
        return {
            Part.ANNOUNCE_OLD_PRIMARY: lambda after: self._announce(primary, "old primary", after),
            Part.ANNOUNCE_TARGET: lambda after: self._announce(target, "DB_A", after),
            Part.CREDENTIALS: self._credentials,
            Part.READY: self._ready,
            Part.TASKS: self._tasks,
            Part.LOAD_BALANCER: self._load_balancer,
            Part.ONLINE_HOSTS: lambda after: self._online_hosts(online, after),
            Part.ONLINE_SESSIONS: lambda after: self._online_sessions(online, after),
            Part.OTHER_HOSTS: lambda after: self._other_hosts(others, elsewhere, after),
            Part.OTHER_SESSIONS: lambda after: self._sessions("others", others, elsewhere, after),
            Part.OLD_PRIMARY_GATE: lambda after: self._gate(primary, desire.old_primary_gate(), after),
            Part.TARGET_GATE: lambda after: self._gate(target, desire.target_gate(), after),
            Part.TARGET_DATABASE: self._database,
            Part.REVERSE_REPLICATION: self._reverse_replication,
            **LastPhases(self._args, self._own(), self._after_agent).makers(),
            Part.FINISH: self._finish,
        }

    def _own(self) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(parent=self)

    def _after_agent(self, server: Server, after: Steps) -> Steps:
        """The steps before, and the agent on that server: whoever asks first has it delivered.

        On the way back online servers get it while the old primary opens: writes resume there once their hosts file is back.
        """
        if server.name not in self._agents:
            early = self._settings.phase is Phase.PREPARE and server.role is Role.ONLINE
            waits_for = self._announced if early else after
            instance, booted = self._machines.of(server)
            agent_args = AgentArgs(server, self._args.reach, self._args.program, [*waits_for, *booted], instance)
            self._agents[server.name] = Agent(f"{server.name}-agent", agent_args, self._own()).installed
        return [*after, self._agents[server.name]]

    def _announce(self, server: Server, side: str, after: Steps) -> Steps:
        if server.lost:
            return []
        desired = self._desire.announcement(side)
        args = AnnouncementArgs(server, self._args.reach, desired, self._after_agent(server, after))
        self._announced = [Announcement(f"{server.name}-announce", args, self._own()).step]
        return self._announced

    def _both(self) -> list[tuple[Server, str]]:
        """The two that can hold the authority, as far as they live, with the side that they are."""
        sides = ((self._settings.primary, "old primary"), (self._settings.target, "DB_A"))
        return [(server, side) for server, side in sides if not server.lost]

    def _credentials(self, after: Steps) -> Steps:
        made = []
        for server, side in self._both():
            owns_role = side == "old primary"
            secret = {
                "password": self._args.secrets.password,
                "owns_role": owns_role,
                "postgres": self._desire.old_postgres(),
                **(self._desire.functions() if owns_role else {}),
            }
            args = CredentialsArgs(server, self._args.reach, secret, self._after_agent(server, after))
            made.append(Credentials(f"{server.name}-credentials", args, self._own()).step)
        return made

    def _ready(self, after: Steps) -> Steps:
        made = []
        for server, side in self._both():
            desired = {**self._desire.ready(side), "preflight": for_ready(self._desire, server)}
            args = ReadinessArgs(server, self._args.reach, desired, self._after_agent(server, after))
            made.append(Readiness(f"{server.name}-ready", args, self._own()).step)
            if side == "old primary":
                self.after_cutover = made[-1].facts.apply(lambda facts: dict(facts.get("afterCutover", {})))
        return made

    def _tasks(self, after: Steps) -> Steps:
        if not self._settings.workers:
            return []
        args = OfflineTasksArgs(self._args.reach, offline_tasks(self._desire, self._settings.workers), after)
        return [OfflineTasks("workers-offline-tasks", args, self._own()).step]

    def _load_balancer(self, after: Steps) -> Steps:
        if not self._settings.balanced:
            return []
        args = LoadBalancerArgs(self._args.reach, load_balancer(self._desire), after)
        return [LoadBalancer("drained-load-balancer", args, self._own()).step]

    def _online_hosts(self, lead: Lead, after: Steps) -> Steps:
        """A step for each: one that cannot be reached holds up nobody else, nor the end of their sessions on replicas."""
        made = []
        for server in self._settings.online:
            desired = self._desire.hosts_file(server, lead)
            args = HostsFileArgs(server, self._args.reach, desired, self._after_agent(server, after))
            self._hosts_steps[server.name] = HostsFile(f"{server.name}-hosts-file", args, self._own()).step
            made.append(self._hosts_steps[server.name])
        return made

    def _other_hosts(self, servers: Sequence[Server], lead: Lead, after: Steps) -> Steps:
        """One step for all: they may be hundreds, and what follows waits for all of them. It brings them the agent, too."""
        if not servers:
            return []
        args = HostsFilesArgs(self._args.reach, hosts_files(self._desire, servers, lead), after)
        return [HostsFiles("others-hosts-files", args, self._own()).step]

    def _online_sessions(self, lead: Lead, after: Steps) -> Steps:
        """Each online server's as soon as its own names have moved: one that cannot be reached must not keep the pools of the
        others on a replica, where they find their sessions alive and every write fails. Then what is left of all of them.

        Where they come before the hosts files (see order), they wait for what comes before them. DB_B's come first: every name led
        there, and a pool's writes fail until its session there is ended.
        """
        each: list[Step | LocalStep] = []
        for client in self._settings.online:
            moved = self._hosts_steps.get(client.name)
            each += self._sessions(client.name, [client], lead, [moved] if moved else after)
        return self._sessions("online", self._settings.online, lead, [*after, *each])

    def _sessions(self, group: str, clients: Sequence[Server], lead: Lead, after: Steps) -> Steps:
        made: list[Step] = []
        first: list[Step] = []
        for replica in sorted(self._settings.replicas, key=lambda one: one != self._settings.reads_from):
            desired = self._desire.sessions(replica, group, clients, lead)
            args = OldReplicaSessionsArgs(replica, self._args.reach, desired, [*after, *first, self._access(replica)])
            made.append(OldReplicaSessions(f"{replica.name}-sessions-{group}", args, self._own()).step)
            if replica == self._settings.reads_from:
                first = made[:1]
        return made

    def _access(self, replica: Server) -> Step:
        """It waits for no hosts file: sessions of one server must not wait for another server's. In prepare it waits for the old
        primary, where pgleap's local role is made: it comes to a replica with the stream."""
        key = f"{replica.name}-access"
        if key not in self._agents:
            after = self._opened or self._announced
            args = OldReplicaAccessArgs(
                replica, self._args.reach, self._desire.access(), self._after_agent(replica, after)
            )
            self._agents[key] = OldReplicaAccess(key, args, self._own()).step
        return self._agents[key]

    def _gate(self, server: Server, desired: dict[str, Any], after: Steps) -> Steps:
        if server.lost:
            return []
        if server is self._settings.target and self._settings.primary.lost:
            # Should the old primary come back, they tell it that DB_A went on without it.
            after = [*after, *(self._access(replica) for replica in self._settings.replicas)]
        args = ClientGateArgs(server, self._args.reach, desired, self._after_agent(server, after))
        made = [ClientGate(f"{server.name}-client-gate", args, self._own()).step]
        if desired["gate"] == Gate.OPEN.value and server is self._settings.primary:
            self._opened = made
        return made

    def _database(self, after: Steps) -> Steps:
        target = self._settings.target
        if target.lost:
            return []
        args = UpgradeTargetArgs(
            target, self._args.reach, self._desire.upgrade_target(), self._after_agent(target, after)
        )
        return [UpgradeTarget(f"{target.name}-database", args, self._own()).step]

    def _reverse_replication(self, after: Steps) -> Steps:
        primary = self._settings.primary
        if primary.lost:
            return []
        desired = self._desire.reverse_replication()
        args = ReverseReplicationArgs(primary, self._args.reach, desired, self._after_agent(primary, after))
        return [ReverseReplication(f"{primary.name}-reverse-replication", args, self._own()).step]

    def _finish(self, after: Steps) -> Steps:
        """Both at once: between readonly and what follows writes are refused. The phase is finished once both are."""
        made: list[Step] = []
        for server, side in self._both():
            args = FinishArgs(server, self._args.reach, self._desire.finish(side), [*after, *self._machines.booted])
            made.append(Finish(f"{server.name}-finish", args, self._own()).step)
        every = pulumi.Output.all(*(step.facts for step in made))
        self.finished = every.apply(self._as_finished)
        return list(made)

    def _as_finished(self, facts: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """From the facts of the last steps. That DB_A opened without the old primary is remembered: `lost` is not taken back then."""
        alone = any(each.get("alone") for each in facts)
        without = {"openedWithout": self._settings.primary.name} if alone else {}
        return {**{key: facts[0][key] for key in ("phase", "round")}, **without}
