"""One verb of the agent on many servers at once: `python -m scripts.on_servers`, desired state on stdin. A step of the program runs it on
the operator's machine; by hand it is not needed.

Each server is reached once, side by side with the others; where another agent is installed, or none, ours is delivered over the same
connection. One that cannot be reached, or refuses, holds up nobody else, and is named at the end.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from agent.states import Verb
from components.agent_program import INSTALLED, SUDO, AgentProgram, agent_program
from scripts import fleet_ssh
from scripts.fleet_ssh import CUT_OFF, Answer, HearEach, Login, Reachable, Shell, Talk, UnreachableError
from scripts.local_step import Desired, Time, main, say
from scripts.many import each_of, refusal, together
from scripts.report import Facts, Refusal

# Seconds for one server, a delivery included: longer than its agent waits for its lock, and then for names and a reload, or for tasks.
DEADLINE = 360.0
# What the shell answers where another agent is installed, or none; no verb ends with it.
OTHER_AGENT = 46
# Seconds between two words of progress.
PROGRESS = 5.0
# What a refusal expected of each server.
EXPECTED = {
    Verb.HOSTS_FILE: "database names to lead where they are told to",
    Verb.OFFLINE_TASKS: "offline tasks to run or to rest as they are told to",
}

# How all servers are talked to, and who hears what they say.
Each = Callable[[Login, Mapping[str, Reachable], Talk, HearEach], Awaitable[dict[str, Answer]]]
OVER_SSH: Each = partial(fleet_ssh.each, deadline=DEADLINE, dial=fleet_ssh.DEADLINE)


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
    """Where a server is, as the desired state has it; see fleet_ssh.Reachable."""

    address: str
    host_key: str | None


async def on_servers(desired: Desired, each: Each = OVER_SSH) -> Facts:
    """Have every server do the verb. Raises Refusal if any have not, once all others are done."""
    verb, agent, asked = Verb(desired["verb"]), agent_program(), each_of(desired)
    hosts = {name: Host(server["address"], server.get("hostKey")) for name, server in desired["servers"].items()}
    done, told = 0, time.monotonic()

    async def talk(name: str, shell: Shell) -> Answer:
        nonlocal done, told
        answer = await _talk(verb, asked[name], agent, shell)
        done += 1
        if time.monotonic() - told >= PROGRESS:
            told = time.monotonic()
            say(f"{done} of {len(hosts)} servers have answered")
        return answer

    try:
        answers = await each(Ssh.of(desired), hosts, talk, _say_of)
    except UnreachableError as error:
        raise Refusal("a way to the servers", str(error), "mend it (pgleap:ssh), then `pulumi up` again") from None
    failed = {name: why for name, answer in answers.items() if (why := _why(answer))}
    for name, why in failed.items():
        if answers[name].status is None or not answers[name].error.strip():  # the others have said it themselves
            _say_of(name, why)
    if failed:
        raise refusal(EXPECTED[verb], failed, len(hosts))
    found = {name: json.loads(answer.output) for name, answer in answers.items()}
    for name, facts in found.items():
        for note in facts.get("notes", ()):
            _say_of(name, note)
    return together(found)


def _say_of(name: str, sentence: str) -> None:
    """What a server says, under its name; empty lines are none (a shell's, or sudo's)."""
    words = sentence.strip().removeprefix("pgleap:").strip()
    if words:
        say(f"{name}: {words}")


async def _talk(verb: Verb, asked: Desired, agent: AgentProgram, shell: Shell) -> Answer:
    """What one server's agent answers, which it gets first if it must; or what stood in the way."""
    answer = await shell(verb_command(agent, verb), json.dumps(asked))
    if answer.status != OTHER_AGENT:
        return answer
    _say_of(asked["server"], "gets the agent")
    delivered = await shell(delivery_command(agent), _delivery(agent))
    if delivered.status != 0:
        return delivered
    wanted = {"server": asked["server"], "address": asked["address"], "sha256": agent.sha256}
    installed = await shell(f"{SUDO} {agent.delivered} {Verb.INSTALL.value}", json.dumps(wanted))
    if installed.status != 0:
        return installed
    return await shell(verb_command(agent, verb), json.dumps(asked))


def verb_command(agent: AgentProgram, verb: Verb) -> str:
    """What a shell on a server runs: the verb of this very agent. An installed archive ends with its SHA-256 (agent/install.py). Pure."""
    installed = f'"$(tail -c {len(agent.sha256)} {INSTALLED} 2>/dev/null)"'
    return f"test {installed} = {agent.sha256} || exit {OTHER_AGENT}; exec {SUDO} {INSTALLED} {verb.value}"


def delivery_command(agent: AgentProgram) -> str:
    """What takes the agent in, as base64 on standard input, to where the program's own deliveries are. Pure."""
    # Named as deliveries are, so that one which was cut off is taken away with them.
    part = f"{agent.delivered.removesuffix('.pyz')}.part.pyz"
    return f"base64 -d > {part} && mv -f {part} {agent.delivered}"


@cache
def _delivery(agent: AgentProgram) -> str:
    """The same for every server that gets it."""
    return base64.encodebytes(agent.file.read_bytes()).decode()


def _why(answer: Answer) -> str:
    """Why a server did not do it; empty if it did."""
    if answer.status is None:
        return f"not reached: {answer.error}"
    if answer.status == 0:
        return ""
    last = [line.removeprefix("pgleap: ") for line in answer.error.strip().splitlines()[-1:]]
    if answer.status == CUT_OFF:
        return "; it said last: ".join(["its connection ended before the agent did", *last])
    return "".join(last) or f"exit status {answer.status}, without a word"


def _work(desired: Desired, _: Time) -> Facts:
    return asyncio.run(on_servers(desired))


if __name__ == "__main__":
    sys.exit(main(_work))
