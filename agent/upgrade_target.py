"""Verb `upgrade-target`: DB_A's PostgreSQL, an old-version standby or the new-version primary. Its parts: standby, major_upgrade."""

from __future__ import annotations

from typing import Any, Mapping

from agent import access, authority, journal, major_upgrade, standby
from agent.detached import Run
from agent.journal import Authority
from agent.report import Facts
from agent.server import Server
from agent.states import Target, Verb
from agent.target import read_target

VERB = Verb.UPGRADE_TARGET.value


def upgrade_target(desired: Mapping[str, Any], server: Server) -> Facts:
    """Bring DB_A's database to the state `database`. Long: it runs in a transient unit of its own (see detached)."""
    own = journal.must_read(server)
    target = read_target(desired, server)
    sealed = own.authority is not Authority.HOLDS
    for postgres in (target.old, target.new):
        access.bring_back(postgres, [target.primary.address], sealed, on_target=postgres is target.old)
    if Target(desired["database"]) is Target.STANDBY:
        authority.refuse_to_seal_open_target(own)
        return {**standby.standby(target), "configuration": desired.get("configuration")}
    return major_upgrade.major_upgrade(target)


def is_short(desired: Mapping[str, Any], server: Server) -> bool:
    """Whether there is nothing to wait for: a DB_A that has opened once is only started, if it does not run."""
    own = journal.read(server)
    opened = own is not None and own.authority in (Authority.HOLDS, Authority.SEALED)
    return opened and Target(desired["database"]) is Target.PRIMARY and not Run(server, VERB).is_under_way()


def goes_on_alone(desired: Mapping[str, Any], server: Server) -> bool:
    """Whether `up` only starts this run: the rebuild of a DB_A that was promoted, on the way back, when writes work again."""
    own = journal.read(server)
    return Target(desired["database"]) is Target.STANDBY and own is not None and own.upgraded_at is not None
