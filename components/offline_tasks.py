"""OfflineTasks: a worker's systemd units, stopped while writes are refused."""

from __future__ import annotations

from typing import ClassVar

from agent.states import Verb
from components.part import PartArgs, ServerPart


class OfflineTasksArgs(PartArgs):
    """`desired`: tasks (systemd unit -> running or stopped)."""


class OfflineTasks(ServerPart):
    """One worker's offline tasks."""

    verb: ClassVar[Verb] = Verb.OFFLINE_TASKS
