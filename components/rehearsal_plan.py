"""What a rehearsal will do, as numbered sentences, and what of the stack config it leaves out. Pure."""

from __future__ import annotations

from agent.states import Target
from components.desired import Desire
from components.settings import Settings


def plan(settings: Settings) -> list[str]:
    """One sentence for each thing that is done, in its order."""
    primary, target = settings.primary.name, settings.target.name
    old, new, limits = settings.versions.old, settings.versions.new, settings.limits
    upgraded = Desire(settings).parts.database is Target.PRIMARY
    copy = (
        f"{target}: replays what {primary} has now, is promoted, pg_upgrade --{settings.postgres.transfer_mode} to PostgreSQL {new} within"
        f" {limits.upgrade_seconds} s, started sealed, statistics gathered; each is measured"
        if upgraded
        else f"{target}: a base backup of {primary}, a sealed standby of it on PostgreSQL {old}, with PostgreSQL {new} installed and checked"
    )
    beside = (
        f"{primary}: goes on serving; a role and a slot pgleap_rehearsal, a line in pg_hba.conf for {target} alone; the slot goes by itself"
        f" when it holds more than {limits.rehearsal_wal_bytes} bytes back"
    )
    sentences = [
        beside,
        copy,
        f"pulumi destroy takes both copies on {target} away, and role, slot and line on {primary}",
    ]
    return [f"{number}. {text}" for number, text in enumerate(sentences, start=1)]


def authority(settings: Settings) -> str:
    """Who may write: what it was before."""
    return f"{settings.primary.name} takes writes; a rehearsal changes nothing about it"


def left_out(settings: Settings) -> list[str]:
    """What stands in the config, often copied from a window's stack, and counts for nothing here."""
    told = (settings.primary.name, settings.target.name)
    others = [name for name in settings.servers if name not in told]
    said = {
        f"told nothing, asked nothing: {', '.join(others)}": bool(others),
        "postgres.archiveCommand: a copy that is thrown away archives nothing": settings.postgres.archive_command,
        "terminate: nothing of the fleet's ends": settings.terminate,
        "aws.keepDatabases: an instance that the rehearsal made goes with its stack": settings.target.instance,
        "outageBudget: nothing is refused": settings.outage_budget,
        "acceptDataLoss: there is nothing to lose": settings.accept_data_loss,
    }
    return [sentence for sentence, counts in said.items() if counts]
