"""Where the database names lead: as this machine says, or as the stack's phase has it for the online servers."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import yaml

from agent.states import Phase
from components.config_errors import NAMESPACE
from components.desired import Desire
from components.settings import Settings


class NoNamesError(Exception):
    """No name leads anywhere from here; the message says what to do."""


def by_machine(_: str) -> None:
    """libpq asks the machine itself, anew for each connection."""
    return


def refuse_unknown(names: Iterable[str]) -> None:
    """Raises NoNamesError if this machine knows none of the names."""
    tried = list(names)
    for name in tried:
        try:
            socket.getaddrinfo(name, None)
        except (OSError, UnicodeError):
            continue
        return
    raise NoNamesError(
        f"Expected: a machine that knows {', '.join(tried)}. Found: it knows none of them.\n"
        "To do: run this on a server of the fleet, or with --by-stack, by the addresses of the stack's phase"
    )


@dataclass
class ByStack:
    """The addresses of the phase in the stack's config file, which an `up` writes when it begins. A file that has not changed is not
    read again."""

    settings: Settings
    file: Path
    _changed: int = 0

    def __call__(self, name: str) -> str | None:
        # Half a file, while the engine writes it, is no config: the next look finds a whole one.
        with suppress(OSError, yaml.YAMLError, KeyError, TypeError, ValueError):
            changed = self.file.stat().st_mtime_ns
            if changed != self._changed:
                phase = Phase(yaml.safe_load(self.file.read_text())["config"][f"{NAMESPACE}:phase"])
                self.settings, self._changed = self.settings.model_copy(update={"phase": phase}), changed
        desire = Desire(self.settings)
        return desire.names(desire.parts.online_hosts).get(name)
