"""The desired states as JSON-ready dictionaries, from the settings and the phase's column of the table. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agent.states import Gate, Hosts, Phase, Stream, Target, Tasks
from components.phases import TABLE, Lead, Parts
from components.settings import Places, Server, Settings

Desired = dict[str, Any]


class Desire:
    """What each server is asked for in the settings' phase."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.phase: Phase = settings.phase
        self.parts: Parts = TABLE[settings.phase]

    def old_postgres(self) -> Desired:
        return self._postgres(self.settings.versions.old, self.settings.postgres.old)

    def new_postgres(self) -> Desired:
        return self._postgres(self.settings.versions.new, self.settings.postgres.new)

    def _postgres(self, version: int, places: Places) -> Desired:
        ours = self.settings.postgres
        named = {key: str(value) for key, value in places.model_dump(exclude_none=True).items()}
        return {
            "version": version,
            "layout": ours.layout.value,
            "cluster": ours.cluster,
            "port": ours.port,
            "superuser": ours.superuser,
            **({"socketFolder": ours.socket_folder} if ours.socket_folder else {}),
            **named,
        }

    def other_side(self, server: Server) -> Desired:
        """How the other database server is reached; a lost one is not asked."""
        lost = {"lost": True} if server.lost else {}
        return {"server": server.name, "address": server.address, "port": self.settings.postgres.port, **lost}

    def old_replicas(self) -> dict[str, str]:
        """Those that must stay what they are, as the verbs that open or promote a database look: name -> address."""
        return {replica.name: replica.address for replica in self.settings.replicas}

    def _phase(self, side: str) -> Desired:
        return {"phase": self.phase.value, "side": side}

    def move(self, side: str) -> Desired:
        """For `announce`. The old primary asks first whether DB_A opened without it: DB_A, and where that does not answer the replicas."""
        if side == "DB_A":
            return self._phase(side)
        asked = {"otherSide": self.other_side(self.settings.target), "oldReplicas": self.old_replicas()}
        return {**self._phase(side), "asksFirst": {"postgres": self.old_postgres(), **asked}}

    def announcement(self, side: str) -> Desired:
        if not self.settings.target.lost:
            return self.move(side)
        # What would be lost is told before anybody accepts it.
        told_from = {"postgres": self.old_postgres(), "otherSide": self.other_side(self.settings.target)}
        return {**self.move(side), **self._loss(), "lossToldFrom": told_from}

    def finish(self, side: str) -> Desired:
        """DB_A remembers the fence, for the case that the old primary dies."""
        if side != "DB_A":
            return self._phase(side)
        return {
            **self._phase(side),
            "otherSide": self.other_side(self.settings.primary),
            "postgres": self.old_postgres(),
        }

    def access(self) -> Desired:
        """pgleap's way in on an old replica; the two that may open ask it whether it still is one, and who opened without whom."""
        return {
            "postgres": self.old_postgres(),
            "readers": [self.settings.primary.address, self.settings.target.address],
            **({"withoutOldPrimary": True} if self.settings.primary.lost else {}),
        }

    def ready(self, side: str) -> Desired:
        target, limits = self.settings.target, self.settings.limits
        if side == "DB_A":
            return {
                **self._phase(side),
                "postgres": self.old_postgres(),
                "newPostgres": self.new_postgres(),
                "transferMode": self.settings.postgres.transfer_mode,
                "jobs": self.settings.postgres.jobs,
                "lagSeconds": limits.lag_seconds,
                "upgradeSeconds": limits.upgrade_seconds,
                **self._loss(),
            }
        standbys = {server.name: server.address for server in (self.settings.reads_from, target) if not server.lost}
        return {
            **self._phase(side),
            "postgres": self.old_postgres(),
            "standbys": standbys,
            "lagBytes": limits.lag_bytes,
            "lagSeconds": limits.lag_seconds,
            "otherSide": self.other_side(target),
            "jobs": self.settings.postgres.jobs,
            **self._left_out(),
            **self._loss(),
        }

    def _left_out(self) -> Desired:
        ours = self.settings.reverse_replication
        if not ours.enabled:
            return {}
        return {"leaveOut": list(ours.leave_out), "newVersion": self.settings.versions.new}

    def tasks(self, worker: Server) -> Desired:
        state = self.parts.kept_tasks if worker.keep_until else self.parts.tasks
        return {"tasks": dict.fromkeys(worker.tasks, Tasks(state).value)}

    def load_balancer(self, server: Server) -> Desired:
        """For one of `settings.balanced`."""
        return {**self.membership(), **self.balanced(server)}

    def membership(self) -> Desired:
        """What all of `settings.balanced` are asked for alike."""
        ours, inside = self.settings.load_balancer, self.parts.drained_in_load_balancer
        return {
            "membership": "in" if inside else "out",
            "drainSeconds": ours.drain_seconds,
            "healthySeconds": ours.healthy_seconds,
            **({} if ours.commands is not None else self._aws()),
        }

    def balanced(self, server: Server) -> Desired:
        """How one of `settings.balanced` leaves and rejoins."""
        ours, inside = self.settings.load_balancer, self.parts.drained_in_load_balancer
        if ours.commands is not None:
            return {"command": ours.commands.of(server.name, server.address, inside=inside)}
        instance = {"instanceId": server.instance_id} if server.instance_id else {}
        return {"targetGroups": list(server.target_groups), **instance}

    def retired_instance(self, server: Server) -> Desired:
        """For an old database with an instance id, if the stack says `terminate`."""
        return {"instanceId": server.instance_id, "terminate": self.settings.terminate, **self._aws()}

    def _aws(self) -> Desired:
        """Where AWS is asked."""
        aws = self.settings.aws
        if aws is None:
            return {}
        return {"region": aws.region, **({"endpoint": aws.endpoint} if aws.endpoint else {})}

    def names(self, lead: Lead) -> dict[str, str]:
        """Where each database name leads: name -> address."""
        if lead is Lead.AS_THEY_WERE:
            return self.settings.names_before
        if lead is Lead.SPREAD:
            return self.settings.names_spread
        return self.settings.names_after if lead is Lead.DB_A else self.settings.names_to(self.settings.reads_from)

    def hosts_file(self, server: Server, lead: Lead) -> Desired:
        return {**self.hosts(lead), **self.reload(server)}

    def reload(self, server: Server) -> Desired:
        """Of its hosts file, what is the server's own."""
        return {"reload": server.reload} if server.reload else {}

    def hosts(self, lead: Lead) -> Desired:
        """What all servers with the same lead are asked for alike."""
        hosts = Hosts.AS_THEY_WERE if lead is Lead.AS_THEY_WERE else Hosts.MANAGED
        return {"hosts": hosts.value, "names": self.names(lead)}

    def sessions(self, replica: Server, group: str, clients: Sequence[Server], lead: Lead) -> Desired:
        """Which names lead `clients` to the old `replica` now; sessions that other names left there are ended."""
        return self._sessions(replica, self.old_postgres(), group, clients, lead)

    def new_replica_sessions(self, replica: Server) -> Desired:
        """The same for a new replica, and all servers at once: nothing was refused there, and nothing hurries."""
        clients = self.settings.hosts_servers
        return self._sessions(replica, self.new_postgres(), "all", clients, self.parts.other_hosts)

    def _sessions(
        self, replica: Server, postgres: Desired, group: str, clients: Sequence[Server], lead: Lead
    ) -> Desired:
        leads = [self.names(lead)]
        if lead is Lead.DB_B:
            # Where every name only reads nothing hurries: a replica's own sessions read on there, and end once the names lead to DB_A.
            leads.append(self.settings.names_before)
        here = [name for name in self.settings.names if replica.address in (each[name] for each in leads)]
        return {
            "group": group,
            "postgres": postgres,
            "clients": [client.address for client in clients],
            "namesHere": here,
            "graceSeconds": self.settings.limits.grace_seconds,
        }

    def old_primary_gate(self) -> Desired:
        """It also takes back what DB_A took: so much is waited for, and so it is compared."""
        back = {
            "replaySeconds": self.settings.limits.replay_seconds,
            "verify": self.settings.reverse_replication.verify,
            "readsFrom": "" if self.settings.reads_from.lost else self.settings.reads_from.address,
            "jobs": self.settings.postgres.jobs,
        }
        gate = self._gate("old primary", self.parts.old_primary, self.old_postgres(), self.settings.target)
        return {**gate, "wayBack": back}

    def target_gate(self) -> Desired:
        upgraded = self.parts.database is Target.PRIMARY
        postgres = self.new_postgres() if upgraded else self.old_postgres()
        gate = self._gate("DB_A", self.parts.upgrade_target, postgres, self.settings.primary)
        # Unchanged on the way to upgrade, which must not run this step for it with writes refused.
        seen = {"configuration": "as carried"} if self.phase in (Phase.READONLY, Phase.UPGRADE) else {}
        return {**gate, **seen, "jobs": self.settings.postgres.jobs}

    def _gate(self, side: str, gate: Gate, postgres: Desired, other: Server) -> Desired:
        return {
            "side": side,
            "gate": gate.value,
            "postgres": postgres,
            "otherSide": self.other_side(other),
            "readers": self._readers(other),
            "oldReplicas": self.old_replicas(),
            **self._loss(),
            "graceSeconds": self.settings.limits.grace_seconds,
        }

    def _readers(self, other: Server) -> list[str]:
        """Who may come as the role pgleap: the other side, and on DB_A the new replicas, which take its settings over."""
        replicas = self.settings.new_replicas if other is self.settings.primary and self.parts.new_replicas else ()
        return [server.address for server in (other, *replicas)]

    def replication(self) -> Desired:
        """DB_A's side of the new replicas, and of the stream back."""
        return {
            "postgres": self.new_postgres(),
            "standbys": {replica.name: replica.address for replica in self.settings.new_replicas},
            "user": self.settings.replication.user,
            "streamBack": "removed" if self.parts.stream is Stream.REMOVED else "kept",
        }

    def synchronous_replication(self) -> Desired:
        """Nobody is waited for before `replicas`, nor after a way back from it."""
        names = self.settings.replication.synchronous_standby_names if self.parts.new_replicas else None
        return {"postgres": self.new_postgres(), "names": names or ""}

    def new_replica(self) -> Desired:
        limits = self.settings.limits
        return {
            "postgres": self.new_postgres(),
            "target": self.other_side(self.settings.target),
            "user": self.settings.replication.user,
            "limits": {
                "baseBackupSeconds": limits.base_backup_seconds,
                "streamSeconds": limits.stream_seconds,
                "lagBytes": limits.lag_bytes,
            },
        }

    def unused(self) -> Desired:
        return {"postgres": self.old_postgres(), "watchSeconds": self.settings.limits.watch_seconds}

    def retirement(self) -> Desired:
        return {"postgres": self.old_postgres()}

    def _loss(self) -> Desired:
        """A person's word, where it can matter."""
        accepted = self.settings.accept_data_loss
        return {"acceptDataLoss": accepted} if accepted or self.settings.target.lost else {}

    def reverse_replication(self) -> Desired:
        stream = self.parts.stream if self.settings.reverse_replication.enabled else Stream.NONE
        return {
            "stream": stream.value,
            "postgres": self.old_postgres(),
            "otherSide": self.other_side(self.settings.target),
            "jobs": self.settings.postgres.jobs,
        }

    def stream_to_look_at(self, side: str) -> Desired:
        """For `observe`."""
        ours = self.settings.reverse_replication
        if not ours.enabled:
            return {}
        other = {"otherSide": self.other_side(self.settings.target)} if side != "DB_A" else {}
        looked = {"side": side, "jobs": self.settings.postgres.jobs, **self._left_out(), **other}
        return {"stream": looked}

    def _reverse(self) -> Desired:
        """What DB_A has to be made ready with, if the stack wants a stream back."""
        ours = self.settings.reverse_replication
        if not ours.enabled:
            return {}
        keep = {"slotWalKeepSize": ours.slot_wal_keep_size} if ours.slot_wal_keep_size else {}
        return {"reverse": {"leaveOut": list(ours.leave_out), "replicas": len(self.settings.replicas), **keep}}

    def rehearsal_begin(self, side: str) -> Desired:
        """The first step of a rehearsal, by side."""
        if side == "DB_A":
            return self._phase(side)
        return {
            **self._phase(side),
            "postgres": self.old_postgres(),
            "walBytes": self.settings.limits.rehearsal_wal_bytes,
        }

    def rehearsal_credentials(self, side: str) -> Desired:
        """All of it but the password."""
        if side == "DB_A":
            return {"side": side}
        return {"side": side, "postgres": self.old_postgres(), "reader": self.settings.target.address}

    def functions(self) -> Desired:
        """When the old primary is given the functions by which both sides are compared: the way to readonly does it again, for a pgleap that
        was brought up to date since, and databases that were made; no move after it does."""
        return {"functions": f"made in {Phase.PREPARE if self.phase is Phase.PREPARE else Phase.READONLY}"}

    def _carried_in(self) -> Desired:
        """When a standby is given the old primary's configuration: the way to readonly does it again."""
        if self.settings.rehearsal or self.parts.database is not Target.STANDBY:
            return {}
        return {"configuration": f"carried in {self.phase.value}"}

    def upgrade_target(self) -> Desired:
        """DB_A's database, a window's or a rehearsal's; the copy of a rehearsal archives nothing."""
        limits = self.settings.limits
        archive = None if self.settings.rehearsal else self.settings.postgres.archive_command
        return {
            "database": self.parts.database.value,
            **self._carried_in(),
            "primary": self.other_side(self.settings.primary),
            "oldReplicas": {} if self.settings.rehearsal else self.old_replicas(),
            "postgres": self.old_postgres(),
            "newPostgres": self.new_postgres(),
            "transferMode": self.settings.postgres.transfer_mode,
            "jobs": self.settings.postgres.jobs,
            **({"archiveCommand": archive} if archive else {}),
            **self._reverse(),
            "limits": {
                "baseBackupSeconds": limits.base_backup_seconds,
                "streamSeconds": limits.stream_seconds,
                "replaySeconds": limits.replay_seconds,
                "upgradeSeconds": limits.upgrade_seconds,
            },
        }
