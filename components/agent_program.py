"""The agent as one file: a deterministic zipapp of the folder agent/, named after its content."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
BUILT = PROJECT / ".cache"
# The oldest date that a zip file can hold: the same sources give the same bytes, whenever and wherever they are packed.
PACKED_AT = (1980, 1, 1, 0, 0, 0)
ENTRY = b"import sys\n\nfrom agent.__main__ import main\n\nsys.exit(main(sys.argv[1:]))\n"
ENTRY_OF_REHEARSAL = (
    b"import sys\n\nfrom agent.__main__ import REHEARSAL, main\n\nsys.exit(main(sys.argv[1:], REHEARSAL))\n"
)
# How a server runs it: as root, with nothing of the environment's (-I) and no packages beside the standard library (-S): to look for those
# takes 3 of 10 ms of a start (measured).
SUDO = "sudo -n /usr/bin/env python3 -I -S"
INSTALLED = "/usr/local/lib/pgleap/agent.pyz"
INSTALLED_FOR_REHEARSAL = "/usr/local/lib/pgleap-rehearsal/agent.pyz"


@dataclass(frozen=True)
class AgentProgram:
    """The packed agent: where it is on this machine, and its SHA-256 in hexadecimal. That for a `rehearsal` knows no verb of a window's."""

    file: Path
    sha256: str
    rehearsal: bool = False

    @property
    def delivered(self) -> str:
        """Its path on a server, below the home of the SSH user, until it is installed."""
        return f".pgleap-{'rehearsal' if self.rehearsal else 'agent'}-{self.sha256[:16]}.pyz"

    @property
    def installed(self) -> str:
        """Its path on a server from then on."""
        return INSTALLED_FOR_REHEARSAL if self.rehearsal else INSTALLED


@cache
def agent_program(*, rehearsal: bool = False) -> AgentProgram:
    """Pack the agent, if these very sources were not packed before."""
    content = pack(PROJECT / "agent", ENTRY_OF_REHEARSAL if rehearsal else ENTRY)
    digest = hashlib.sha256(content).hexdigest()
    file = BUILT / f"agent-{digest[:16]}.pyz"
    if not file.exists():
        BUILT.mkdir(exist_ok=True)
        beside = file.with_suffix(f".{os.getpid()}.part")  # two programs may pack it at the same moment
        beside.write_bytes(content)
        beside.replace(file)
    return AgentProgram(file, digest, rehearsal)


def pack(folder: Path, entry: bytes = ENTRY) -> bytes:
    """A zipapp of the Python files in `folder`, as a package of the folder's name."""
    files = {"__main__.py": entry}
    for path in sorted(folder.rglob("*.py")):
        files[f"{folder.name}/{path.relative_to(folder)}"] = path.read_bytes()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted(files.items()):
            described = zipfile.ZipInfo(name, PACKED_AT)
            described.external_attr = 0o644 << 16
            archive.writestr(described, content, zipfile.ZIP_DEFLATED)
    return packed.getvalue()
