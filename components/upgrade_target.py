"""UpgradeTarget: DB_A's database, from old-version standby to new-version primary."""

from __future__ import annotations

from typing import ClassVar

from agent.states import Verb
from components.part import PartArgs, ServerPart


class UpgradeTargetArgs(PartArgs):
    """`desired`: database (its state), both clusters, the old primary, transfer mode, jobs, limits in seconds."""


class UpgradeTarget(ServerPart):
    """The long part: base backup in prepare, pg_upgrade in upgrade. Its client gate is a part of its own."""

    verb: ClassVar[Verb] = Verb.UPGRADE_TARGET
