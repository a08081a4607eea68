"""Which servers are EC2 instances that the program makes, in which order, and which of them must stay. Pure.

They stand in every phase, from the moment that the config has them. A new replica's that were there from `cutover` on would go on the
way back: the engine waits for AWS to end it, some minutes, and refuses the whole way back if it is protected (tried).
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.states import Phase
from components.settings import Role, Server, Settings

WINDOW = ("readonly", "upgrade", "cutover", "replicas")
PROTECTED = {Role.TARGET: WINDOW, Role.NEW_REPLICA: ("replicas",)}


@dataclass(frozen=True)
class Stay:
    """Whether an instance and its volume are protected, and whether they outlive the stack."""

    protect: bool
    retain: bool


def made(settings: Settings) -> tuple[Server, ...]:
    """The servers that are instances of the program's; a lost one too, for its disk may hold what is wanted."""
    return tuple(server for server in settings.with_role(Role.TARGET, Role.NEW_REPLICA) if server.instance)


def in_order(settings: Settings) -> tuple[list[Server], list[Server]]:
    """Those that the steps may need, made first; and those that are made after all steps: AWS may have none to give, and an engine that
    fails begins no further step."""
    servers = made(settings)
    return (
        [server for server in servers if is_asked(server, settings.phase)],
        [server for server in servers if not is_asked(server, settings.phase)],
    )


def is_asked(server: Server, phase: Phase) -> bool:
    """Whether anything is asked of the instance in this phase. A new replica has its first boot for itself: nothing waits for it before
    `replicas`."""
    return server.role is Role.TARGET or phase in (Phase.REPLICAS, Phase.RETIRE)


def may_be_new(server: Server, phase: Phase) -> bool:
    """Whether the instance may be made, or made anew, in this phase, so that what is done on the server has to wait for it.

    DB_A was there in every phase but `prepare`. While writes are refused nothing may wait for AWS: its plugin takes seconds to start.
    """
    return server.role is not Role.TARGET or phase is Phase.PREPARE


def stay(server: Server, settings: Settings) -> Stay:
    """Protected where it must not go, whatever the program or a person says; kept by `pulumi destroy` from then on, also of a
    stack that has finished, unless the stack says otherwise (`aws.keepDatabases: false`)."""
    if settings.rehearsal:  # it is thrown away with its stack, whatever the phase
        return Stay(protect=False, retain=False)
    phase, lost_target = settings.phase.value, server.lost and server.role is Role.TARGET
    keep = settings.aws is None or settings.aws.keep_databases
    protect = phase in PROTECTED[server.role] or lost_target
    return Stay(protect=protect, retain=keep and (protect or phase == "retire"))


def on_destroy(settings: Settings) -> list[str]:
    """What `pulumi destroy` leaves, and how to be rid of it, for a stack output: `pulumi destroy --diff` shows it before it asks, and
    cuts long lines. Empty without instances."""
    stays = {server.name: stay(server, settings) for server in made(settings)}
    kept = [name for name, one in stays.items() if one.retain]
    gone = [name for name in stays if name not in kept]
    told = []
    if kept:
        told.append(
            f"pulumi destroy forgets {', '.join(kept)} and leaves them running, volumes and security groups too"
        )
        told.append("to end them too: pulumi config set --path aws.keepDatabases false && pulumi up && pulumi destroy")
    if any(one.protect for one in stays.values()):
        told.append("while they are protected destroy refuses: finish the upgrade, or go back to prepare")
    if gone:
        told.append(f"pulumi destroy ends {', '.join(gone)}, data included")
    return told
