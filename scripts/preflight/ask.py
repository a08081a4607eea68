"""Asking all servers at once, with this checkout's agent, and installing nothing: before `prepare` there is none on the servers.

The agent travels on standard input, ahead of the desired state, and is loaded from the memory of the process that reads it. Where the very
same one is installed, that is loaded: its modules are compiled, which saves half of what a server has to do (0.1 s of a processor).
"""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from components.agent_program import INSTALLED, SUDO, agent_program
from components.desired import Desire
from components.desired_preflight import preflight
from components.settings import Role, Server, Settings
from scripts import fleet_ssh
from scripts.fleet_ssh import Answer
from scripts.preflight.outcome import Said

DEADLINE = 20.0
# The bootstrap's exit status where Python is too old for the agent; nothing that comes before it ends with that.
OLD_PYTHON = 45
# It has to be understood by any Python 3. A file in memory has no name in any file system, and goes with the process.
BOOTSTRAP = f"""
import base64, json, os, sys, time
if sys.version_info < (3, 9):
    sys.stderr.write("Python " + sys.version.split()[0])
    sys.exit({OLD_PYTHON})
began = time.monotonic()
sys.dont_write_bytecode = True
digest, program = sys.stdin.buffer.readline().split()
archive = {INSTALLED!r}
try:
    with open(archive, "rb") as file:
        file.seek(-len(digest), os.SEEK_END)
        is_installed = file.read() == digest
except OSError:
    is_installed = False
if not is_installed:
    memory = os.memfd_create("pgleap")
    with open(memory, "wb", closefd=False) as file:
        file.write(base64.b64decode(program))
    archive = "/proc/self/fd/%d" % memory
sys.path.insert(0, archive)
from agent.__main__ import main
status = main(["preflight"])
print(json.dumps({{"clock": time.time(), "took": time.monotonic() - began}}))
sys.exit(status)
""".strip()
COMMAND = f"{SUDO} -c {shlex.quote(BOOTSTRAP)}"


def ask(settings: Settings, *, made: bool, deadline: float = DEADLINE) -> dict[str, Said]:
    """What each server says of itself, by name. `deadline` in seconds is each server's own."""
    desire = Desire(settings)
    # Servers are asked in this order: DB_A, where pg_upgrade --check runs, takes longest, and then the other databases.
    living = [server for server in settings.servers.values() if not server.lost]
    living.sort(key=lambda server: (server is not settings.target, server in settings.hosts_servers))
    asked = {server.name: {**to_look_at(desire, server, made=made), "tellsAhead": True} for server in living}
    return _ask(settings, asked, deadline, delivers=True)


def ask_facts(settings: Settings, servers: Iterable[Server], deadline: float = DEADLINE) -> dict[str, Said]:
    """The facts of some servers alone, by name: no check is made, so this takes a second."""
    desire = Desire(settings)
    asked = {server.name: {**preflight(desire, server), "onlySeen": True} for server in servers}
    return _ask(settings, asked, deadline)


def _ask(
    settings: Settings, wanted: Mapping[str, Mapping[str, Any]], deadline: float, *, delivers: bool = False
) -> dict[str, Said]:
    agent = agent_program()
    program = base64.b64encode(agent.file.read_bytes()).decode()
    asked = {name: f"{agent.sha256} {program}\n{json.dumps(each)}" for name, each in wanted.items()}
    return {
        name: read(answer)
        for name, answer in fleet_ssh.ask(settings, COMMAND, asked, deadline, delivers=delivers).items()
    }


def to_look_at(desire: Desire, server: Server, *, made: bool) -> dict[str, Any]:
    """The desired state of `preflight`. No server has to reach one that is still to be made. Pure."""
    wanted = preflight(desire, server)
    missing = [] if made else [one.name for one in desire.settings.servers.values() if one.instance]
    there = {name: address for name, address in wanted["databases"].items() if name not in missing}
    return {**wanted, "databases": there}


def is_excused(settings: Settings, server: Server, *, made: bool) -> str | None:
    """Why a server need not answer yet; None if it must. Pure."""
    if server.instance is not None and not made:
        return "it is still to be made, by `pulumi up`"
    if server.role is Role.NEW_REPLICA and not Desire(settings).parts.new_replicas:
        return f"it need not be there in {settings.phase}"
    return None


def read(answer: Answer) -> Said:
    """What can be understood of an answer. Pure."""
    said = answer.error.strip().splitlines()
    # Of an answer that was cut off the last line may be half a one.
    whole = answer.output if answer.status is not None else answer.output[: answer.output.rfind("\n") + 1]
    lines, strange = _understood(whole)
    told = next((line for line in reversed(lines) if "checks" in line), None)
    clock: Mapping[str, Any] = next((line for line in reversed(lines) if "clock" in line), {})
    if told is not None:  # it may have ended otherwise than it should, or not at all: what it said by then is known
        return Said(answer, told["checks"], told["seen"], clock.get("clock"), clock.get("took", 0.0), strange=strange)
    if answer.status is None:
        return Said(answer, [], {}, why=f"not reached: {answer.error}")
    if answer.status != 0:
        why = f"exit status {answer.status}: {said[-1] if said else 'without a word'}"
        return Said(answer, [], {}, why=why, strange=strange)
    return Said(answer, [], {}, why=f"its answer cannot be understood: {answer.output[:200]!r}", strange=strange)


def _understood(output: str) -> tuple[list[dict[str, Any]], str]:
    """The agent's own lines, and what else came on its standard output: a login shell may print before it, or without a line's end."""
    lines: list[dict[str, Any]] = []
    strange: list[str] = []
    for line in output.splitlines():
        before, brace, rest = line.partition("{")
        try:
            found = json.loads(brace + rest)
        except ValueError:
            found = None
        if isinstance(found, dict) and (found.keys() >= {"checks", "seen"} or found.keys() >= {"clock", "took"}):
            lines.append(found)
            strange.append(before)
        else:
            strange.append(line)
    return lines, "\n".join(part for part in strange if part.strip())
