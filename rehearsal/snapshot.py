"""A fleet as it stands in prepare, kept, and brought back for every measurement: all begin from the same disks and the same stack.

The disks are copied, not layered: a layer below an overlay is copied file by file when it is first written to, and pg_upgrade --link would
measure that.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rehearsal import operator_stack
from rehearsal.lab import databases, hosts
from rehearsal.lab.hosts import Host
from rehearsal.lab.place import LabError
from rehearsal.stage import Stage

STREAMING_SECONDS = 60.0
# Side by side; more would only wait for the disk.
AT_ONCE = 4


@dataclass(frozen=True)
class Snapshot:
    """Copies in `folder`: a disk for each host, the engine's state and home, the stack's config."""

    it: Stage
    folder: Path

    @classmethod
    def take(cls, it: Stage, folder: Path) -> Snapshot:
        """Shut the fleet down, its clients stopped before, keep it, and leave it down. Raises LabError."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        found = cls(it, folder)
        everywhere = list(it.lab.hosts.values())
        _each(everywhere, Host.stop)
        _each(everywhere, lambda host: host.keep_disk(folder / host.name))
        shutil.copytree(found._engine, folder / "pulumi", symlinks=True)
        shutil.copy2(operator_stack.stack_file(it.lab.place), folder / "stack.yaml")
        return found

    def bring_back(self) -> None:
        """The fleet as it was kept, up, its replicas and DB_A streaming. Raises LabError."""
        everywhere = list(self.it.lab.hosts.values())
        _each(everywhere, lambda host: host.replace_disk(self.folder / host.name))
        shutil.rmtree(self._engine)
        shutil.copytree(self.folder / "pulumi", self._engine, symlinks=True)
        shutil.copy2(self.folder / "stack.yaml", operator_stack.stack_file(self.it.lab.place))
        hosts.boot(everywhere)
        self._wait_for_standbys()

    @property
    def _engine(self) -> Path:
        return self.it.lab.place.root / "pulumi"

    def _wait_for_standbys(self) -> None:
        fleet = self.it.fleet
        primary, wanted = self.it.lab.host(fleet.primary.name), len(fleet.replicas) + 1
        streaming = (
            "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND replay_lsn >= pg_current_wal_lsn()"
        )
        deadline = time.monotonic() + STREAMING_SECONDS
        while True:
            try:
                found = int(databases.psql(primary, "postgres", streaming))
            except LabError:
                found = 0  # it is starting
            if found == wanted:
                return
            if time.monotonic() > deadline:
                raise LabError(
                    f"Expected {wanted} standbys to stream within {STREAMING_SECONDS:.0f} s, found {found}: see their logs."
                )
            time.sleep(0.1)


def _each(everywhere: Iterable[Host], act: Callable[[Host], None]) -> None:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(act, everywhere))
