"""Verb `install`: the agent puts itself, owned by root and in one moment, where every step looks for it."""

from __future__ import annotations

import hashlib
import io
import py_compile
import tempfile
import zipfile
from pathlib import Path
from typing import Any, Mapping

from agent import places
from agent.report import Facts, Refusal
from agent.server import Server

INSTALLED = places.INSTALLED
DELIVERED = ".pgleap-agent-*.pyz"


def install(desired: Mapping[str, Any], server: Server) -> Facts:
    """Put the archive this runs from at INSTALLED, its modules compiled, if its SHA-256 is the `sha256` asked for."""
    return put(desired, server, INSTALLED, DELIVERED)


def put(desired: Mapping[str, Any], server: Server, installed: str, delivered: str) -> Facts:
    """The same, for a program that is `installed` elsewhere. `delivered` is what its deliveries are called."""
    archive = server.archive
    content = archive.read_bytes()
    found, name = hashlib.sha256(content).hexdigest(), desired["server"]
    if found != desired["sha256"]:
        raise Refusal(
            f"the agent {desired['sha256'][:12]}",
            f"{found[:12]} in {archive}",
            f"have it delivered again: pulumi up --replace '**::{name}-agent-file' --replace '**::{name}-agent'",
        )
    for other in archive.parent.glob(delivered):
        if other != archive:
            other.unlink()
    path, content = server.path(installed), compiled(content, installed)
    if path.exists() and path.read_bytes() == content:
        return {"changed": [], "because": "this agent is installed already"}
    server.write_durably(installed, content, mode=0o755, owner=server.owner("root"))
    return {"changed": [f"installed {installed}"], "because": "another agent, or none, was installed"}


def compiled(content: bytes, installed: str = INSTALLED) -> bytes:
    """The archive with each module compiled beside its source: an archive keeps no cache, and each step would compile them anew
    (0.1 s of refused writes, measured). A Python of another version takes the sources (documentation, "zipimport")."""
    packed = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(io.BytesIO(content)) as sources:
        sources.extractall(folder)
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
            for entry in sources.infolist():
                archive.writestr(zipfile.ZipInfo(entry.filename, entry.date_time), sources.read(entry))
                file = py_compile.compile(
                    f"{folder}/{entry.filename}",
                    cfile=f"{folder}/{entry.filename}c",
                    dfile=f"{installed}/{entry.filename}",
                    doraise=True,
                    invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
                )
                archive.writestr(zipfile.ZipInfo(f"{entry.filename}c", entry.date_time), Path(str(file)).read_bytes())
            # Its last bytes: whoever brings an agent along sees that this is the same one (scripts/preflight/ask.py).
            archive.comment = hashlib.sha256(content).hexdigest().encode()
    return packed.getvalue()
