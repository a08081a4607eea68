"""Database names lead elsewhere on many servers at once: `python -m scripts.hosts_files`, desired state on stdin. A step of the program
runs it on the operator's machine; by hand it is not needed.

Each server is reached once, side by side with the others, and its own agent does the work; where another agent is installed, or none,
ours is delivered over the same connection. One that cannot be reached, or refuses, holds up nobody else, and is named at the end.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.states import Verb
from components.agent_program import INSTALLED, SUDO, AgentProgram, agent_program
from scripts import fleet_ssh
from scripts.fleet_ssh import Answer, Login, Reachable, Shell, Talk, UnreachableError
from scripts.local_step import Desired, Time, main, say
from scripts.report import Facts, Refusal

# Seconds for one server, a delivery included: longer than its agent waits for its lock, the names and a reload command.
DEADLINE = 240.0
# What the shell answers where another agent is installed, or none; no verb ends with it.
OTHER_AGENT = 46
# Seconds between two words of progress.
PROGRESS = 5.0
# So many servers are named in a refusal; each that failed was told of in a line of its own.
NAMED = 5


# How all servers are talked to, each in so many seconds: fleet_ssh.each.
Each = Callable[[Login, Mapping[str, Reachable], Talk, float], Awaitable[dict[str, Answer]]]


@dataclass(frozen=True)
class Bastion:
    """See fleet_ssh."""

    address: str
    host_key: str | None
    user: str | None
    port: int


@dataclass(frozen=True)
class Ssh:
    """How servers are reached, as the desired state has it; see fleet_ssh.Login."""

    user: str
    port: int
    private_key_file: Path | None
    bastion: Bastion | None

    @classmethod
    def of(cls, desired: Desired) -> Ssh:
        """Pure."""
        ssh, bastion, key = desired["ssh"], desired["ssh"].get("bastion"), desired["ssh"].get("privateKeyFile")
        return cls(
            ssh["user"],
            ssh["port"],
            Path(key) if key else None,
            Bastion(bastion["address"], bastion.get("hostKey"), bastion.get("user"), bastion["port"])
            if bastion
            else None,
        )


@dataclass(frozen=True)
class Host:
    """A server, as the desired state has it; `asked` is the desired state of the agent there."""

    address: str
    host_key: str | None
    asked: Mapping[str, Any]


def hosts_of(desired: Desired) -> dict[str, Host]:
    """The servers by name. All are asked for the same but what is each one's own. Pure."""
    shared = {key: value for key, value in desired.items() if key not in ("servers", "ssh")}
    return {
        name: Host(
            server["address"],
            server.get("hostKey"),
            {"server": name, **shared, **{key: value for key, value in server.items() if key != "hostKey"}},
        )
        for name, server in desired["servers"].items()
    }


async def hosts_files(desired: Desired, each: Each = fleet_ssh.each) -> Facts:
    """Bring every server's names where they are wanted. Raises Refusal if any are not, once all other servers are done."""
    hosts, agent = hosts_of(desired), agent_program()
    done, told = 0, time.monotonic()

    async def lead(name: str, shell: Shell) -> Answer:
        nonlocal done, told
        answer = await _lead(name, hosts[name].asked, agent, shell)
        done += 1
        if time.monotonic() - told >= PROGRESS:
            told = time.monotonic()
            say(f"{done} of {len(hosts)} servers have answered")
        return answer

    try:
        answers = await each(Ssh.of(desired), hosts, lead, DEADLINE)
    except UnreachableError as error:
        raise Refusal("a way to the servers", str(error), "mend it (pgleap:ssh), then `pulumi up` again") from None
    failed = {name: why for name, answer in answers.items() if (why := _why(answer))}
    for name, why in failed.items():
        say(f"{name}: {why}")
    if failed:
        raise _refusal(failed, len(hosts))
    found = {name: json.loads(answer.output) for name, answer in answers.items()}
    for name, facts in found.items():
        for note in facts.get("notes", ()):
            say(f"{name}: {note}")
    return _facts(found)


async def _lead(name: str, asked: Mapping[str, Any], agent: AgentProgram, shell: Shell) -> Answer:
    """One server's names, by its agent, which it gets first if it must; or the answer that says why not."""
    answer = await shell(verb_command(agent), json.dumps(asked))
    if answer.status != OTHER_AGENT:
        return answer
    say(f"{name}: gets the agent")
    content = base64.encodebytes(agent.file.read_bytes()).decode()
    delivered = await shell(delivery_command(agent), content)
    if delivered.status != 0:
        return delivered
    wanted = {"server": name, "address": asked["address"], "sha256": agent.sha256}
    installed = await shell(f"{SUDO} {agent.delivered} {Verb.INSTALL.value}", json.dumps(wanted))
    if installed.status != 0:
        return installed
    return await shell(verb_command(agent), json.dumps(asked))


def verb_command(agent: AgentProgram) -> str:
    """What a shell on a server runs: the verb of this very agent. An installed archive ends with its SHA-256 (agent/install.py). Pure."""
    installed = f'"$(tail -c {len(agent.sha256)} {INSTALLED} 2>/dev/null)"'
    return f"test {installed} = {agent.sha256} || exit {OTHER_AGENT}; exec {SUDO} {INSTALLED} {Verb.HOSTS_FILE.value}"


def delivery_command(agent: AgentProgram) -> str:
    """What takes the agent in, as base64 on standard input, to where the program's own deliveries are. Pure."""
    # Named as deliveries are, so that one which was cut off is taken away with them.
    part = f"{agent.delivered.removesuffix('.pyz')}.part.pyz"
    return f"base64 -d > {part} && mv -f {part} {agent.delivered}"


def _why(answer: Answer) -> str:
    """Why a server's names are not led; empty if they are."""
    if answer.status is None:
        return f"not reached: {answer.error}"
    if answer.status == 0:
        return ""
    said = answer.error.strip().splitlines() or [f"exit status {answer.status}, without a word"]
    return said[-1].removeprefix("pgleap: ")


def _refusal(failed: Mapping[str, str], servers: int) -> Refusal:
    named = [f"{name}: {why}" for name, why in list(failed.items())[:NAMED]]
    more = [f"and {len(failed) - NAMED} more, each in a line above"] if len(failed) > NAMED else []
    return Refusal(
        f"database names to lead where they are told to on all of {servers} servers",
        f"{servers - len(failed)} are done, {len(failed)} are not: {'; '.join([*named, *more])}",
        "see to them, then `pulumi up` again; a server that is gone for good: `lost: true` in pgleap:servers",
    )


def _facts(found: Mapping[str, Mapping[str, Any]]) -> Facts:
    changed = [name for name, facts in found.items() if facts["changed"]]
    return {
        "servers": len(found),
        "changed": [f"/etc/hosts: {name}" for name in changed],
        "because": f"names lead where they are wanted on {len(found)} servers, on {len(found) - len(changed)} of them already",
    }


def _work(desired: Desired, _: Time) -> Facts:
    return asyncio.run(hosts_files(desired))


if __name__ == "__main__":
    sys.exit(main(_work))
