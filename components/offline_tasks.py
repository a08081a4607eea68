"""OfflineTasks: the workers' systemd units, stopped while writes are refused."""

from __future__ import annotations

from components.part import ManyArgs, ManyServersPart


class OfflineTasksArgs(ManyArgs):
    """`desired`: each worker's own tasks (systemd unit -> running or stopped)."""


class OfflineTasks(ManyServersPart):
    """The offline tasks of all workers."""
