"""Folders that stand in for servers: programs of a few lines, where a test wants what no installed PostgreSQL does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.check_names import CheckName
from agent.checks import catalogue
from agent.checks.check import Result, Side, make
from agent.checks.sight import Sight
from agent.server import Server


def program(path: Path, text: str = "exit 0") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def look(name: CheckName, desired: Mapping[str, Any], root: Path = Path("/")) -> Result:
    """One check on a server whose files are below `root`."""
    (check,) = (one for one in catalogue.of(*Side) if one.name is name)
    with Sight(desired, Server(root=root)) as sight:
        return make(check, sight)


def desired(folder: Path, **more: Any) -> dict[str, Any]:
    """DB_A, with both versions' folders below `folder`."""

    def postgres(version: int) -> dict[str, Any]:
        places = {
            "bin": str(folder / f"{version}/bin"),
            "data": str(folder / f"{version}/data"),
            "config": str(folder / f"{version}/data"),
        }
        return {
            "version": version,
            "layout": "rhel",
            "cluster": "main",
            "port": 5432,
            "superuser": "postgres",
            **places,
        }

    return {"server": "db-a", "address": "127.0.0.9", "phase": "prepare", "side": "DB_A", "isReadFrom": False,
            "postgres": postgres(15), "newPostgres": postgres(17), "transferMode": "link", **more}  # fmt: skip
