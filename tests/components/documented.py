"""Commands of the documents, typed as they stand there."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from rehearsal.engine.project import Pulumi

REPOSITORY = Path(__file__).resolve().parents[2]
# Where the documents have the state.
STATE = "/srv/pgleap"
# A person who answers every question with yes.
YES = {"PULUMI_OPTION_YES": "true"}


def advised(message: str, page: str = "docs/recovery.md") -> str:
    """The indented lines beneath the point of a page that has `message` in bold or as code."""
    points = re.split(r"^(?=- |#)", (REPOSITORY / page).read_text(), flags=re.MULTILINE)
    (point,) = [one for one in points if re.search(rf"(\*\*\"|`){re.escape(message)}", one)]
    return "\n".join(line.strip() for line in re.findall(r"^ {6}(.+)$", point, re.MULTILINE))


def typed(lines: str, pulumi: Pulumi, more: Mapping[str, str] | None = None) -> str:
    """What a shell says to these lines, in the project's folder with the stack's variables; every one of them has to succeed. The state lies
    in STATE, which is where the test has it."""
    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", lines.replace(STATE, str(pulumi.backend))],
        cwd=pulumi.project,
        env={**pulumi.variables(), **YES, **(more or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, f"{lines}\n{ran.stdout}"
    return ran.stdout


def repair(pulumi: Pulumi, message: str) -> str:
    """Type what docs/recovery.md advises under a message."""
    lines = advised(message)
    assert lines, message
    return typed(lines, pulumi)
