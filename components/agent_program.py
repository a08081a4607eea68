"""The agent as one file: a deterministic zipapp of the folder agent/, named after its content."""

from __future__ import annotations

import hashlib
import io
import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
BUILT = PROJECT / ".cache"
# The oldest date that a zip file can hold: the same sources give the same bytes, whenever and wherever they are packed.
PACKED_AT = (1980, 1, 1, 0, 0, 0)
ENTRY = b"import sys\n\nfrom agent.__main__ import main\n\nsys.exit(main(sys.argv[1:]))\n"


@dataclass(frozen=True)
class AgentProgram:
    """The packed agent: where it is on this machine, and its SHA-256 in hexadecimal."""

    file: Path
    sha256: str

    @property
    def delivered(self) -> str:
        """Its path on a server, below the home of the SSH user, until it is installed."""
        return f".pgleap-agent-{self.sha256[:16]}.pyz"


@cache
def agent_program() -> AgentProgram:
    """Pack the agent, if these very sources were not packed before."""
    content = pack(PROJECT / "agent")
    digest = hashlib.sha256(content).hexdigest()
    file = BUILT / f"agent-{digest[:16]}.pyz"
    if not file.exists():
        BUILT.mkdir(exist_ok=True)
        beside = file.with_suffix(".part")
        beside.write_bytes(content)
        beside.replace(file)
    return AgentProgram(file, digest)


def pack(folder: Path) -> bytes:
    """A zipapp of the Python files in `folder`, as a package of the folder's name."""
    files = {"__main__.py": ENTRY}
    for path in sorted(folder.rglob("*.py")):
        files[f"{folder.name}/{path.relative_to(folder)}"] = path.read_bytes()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted(files.items()):
            entry = zipfile.ZipInfo(name, PACKED_AT)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
    return packed.getvalue()
