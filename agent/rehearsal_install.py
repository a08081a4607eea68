"""Verb `rehearsal-install`: the rehearsal's program at a place of its own, beside a window's."""

from __future__ import annotations

from typing import Any, Mapping

from agent import install
from agent.rehearsal import DELIVERED, INSTALLED
from agent.report import Facts
from agent.server import STATE_FOLDER, Server

# Where the program was delivered: it is taken away from there too.
FILE = f"{STATE_FOLDER}/delivered.json"


def rehearsal_install(desired: Mapping[str, Any], server: Server) -> Facts:
    """As `install`, which see."""
    server.write_json(FILE, {"folder": str(server.archive.parent)})
    return install.put(desired, server, INSTALLED, DELIVERED)
