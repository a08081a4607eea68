"""An image of a server's disk, as a snapshot of a virtual machine is one: put back later, the machine is as it was then."""

from __future__ import annotations

import pickle
import shutil
from dataclasses import dataclass
from pathlib import Path

from agent.hosts_file import HOSTS
from agent.journal import JOURNAL_FILE
from tests.model.machine import Machine


@dataclass(frozen=True)
class Image:
    """The files of one machine, and its clusters as they were."""

    files: dict[str, bytes]
    clusters: bytes

    @classmethod
    def of(cls, machine: Machine) -> Image:
        files = {str(path.relative_to(machine.root)): path.read_bytes() for path in all_files(machine.root)}
        return cls(files, pickle.dumps(machine.clusters))

    def put_back(self, machine: Machine) -> None:
        """The machine loses its power, and starts with this disk."""
        for cluster in machine.running():
            machine.stop(cluster, crash=True)
        shutil.rmtree(machine.root)
        for file, content in self.files.items():
            path = machine.root / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        for watched in (HOSTS, JOURNAL_FILE):
            path = machine.path(watched)
            machine._watched[watched] = path.read_text() if path.exists() else ""
        machine.clusters = pickle.loads(self.clusters)
        for cluster in machine.running():
            machine.stop(cluster, crash=True)
        machine.boot()


def all_files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
