"""The agent's entry: `agent.pyz <verb>`, the desired state as JSON on stdin, one line of facts on stdout.

Two programs are packed from it. The window's knows no verb of a rehearsal; the rehearsal's knows no other, and keeps its files in a
folder of its own: what could seal, open or change a hosts file cannot be asked of it.

A verb's module is imported when it is asked for, and here nothing that another verb alone needs: to import all of it took each server
0.1 s of a processor in every step (measured on a busy machine: a hosts file's step 210 ms, login and sudo included, then 120).
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from types import ModuleType
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Tuple

from agent import retired
from agent.places import FOLDER_OF_REHEARSAL, INSTALLED, INSTALLED_FOR_REHEARSAL
from agent.report import Facts, Refusal
from agent.server import STATE_FOLDER, Server
from agent.states import REHEARSAL_VERBS, Verb

# Its own unit and its own lock: it may go on while other verbs run.
LONG = (Verb.UPGRADE_TARGET, Verb.NEW_REPLICA, Verb.REHEARSAL_TARGET)
# They only read: no lock, so that they neither wait for a step nor hold one up.
READING = (Verb.OBSERVE, Verb.PREFLIGHT)
# How long a verb waits for another one's run on this server, in seconds: longer than any short verb takes.
PATIENCE = 120


class Program(NamedTuple):
    """One of the two: the verbs that it can be asked for, where it is installed, where its files lie, and what its units run: the module
    and the function in it, by the unit's word."""

    verbs: Tuple[Verb, ...]
    installed: str
    folder: str
    units: Mapping[str, Tuple[str, str]]

    def verb(self, name: str) -> Verb:
        """Raises Refusal if it is none of its own."""
        if name not in [verb.value for verb in self.verbs]:
            raise Refusal(
                f"one of {', '.join(verb.value for verb in self.verbs)}",
                f"{name}, which this program cannot be asked for",
                "see that pgleap:rehearsal in the stack config is what it is to be",
            )
        return Verb(name)


WINDOW = Program(
    tuple(verb for verb in Verb if verb not in REHEARSAL_VERBS),
    INSTALLED,
    STATE_FOLDER,
    {"copies": ("copies", "copies"), "adopt": ("journal", "adopt")},
)
REHEARSAL = Program(
    REHEARSAL_VERBS, INSTALLED_FOR_REHEARSAL, FOLDER_OF_REHEARSAL, {"guard": ("rehearsal_guard", "guard")}
)
PROGRAMS: Dict[str, Program] = {program.installed: program for program in (WINDOW, REHEARSAL)}


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"agent.{name}")


def verb_function(verb: Verb) -> Callable[[Mapping[str, Any], Server], Facts]:
    """The function of a verb; its module bears the verb's name."""
    name = verb.value.replace("-", "_")
    function: Callable[[Mapping[str, Any], Server], Facts] = getattr(_module(name), name)
    return function


def act(verb: Verb, desired: Mapping[str, Any], machine: Server, program: Program = WINDOW) -> Facts:
    """Do what is asked, alone on this server, and tell how long it took. Raises Refusal."""
    program.verb(verb.value)
    server = machine.keeping_in(program.folder)
    began = server.monotonic()
    facts: Facts
    if retired.is_over(verb, server):
        facts = {"changed": [], "because": "its PostgreSQL was stopped for good"}
    elif verb in LONG:
        long = _module(verb.value.replace("-", "_"))
        if long.is_short(desired, server):
            facts = verb_function(verb)(desired, server)
        else:
            ask = _module("detached").ask
            facts = ask(verb.value, desired, server, program.installed, long.goes_on_alone(desired, server))
    elif verb in READING:
        facts = verb_function(verb)(desired, server)
    else:
        # Sessions of one group of servers end whatever is done to another's, for whose clients writes are refused meanwhile.
        lock = f"sessions-{desired['group']}" if verb is Verb.SESSIONS else "agent"
        with server.only_one(lock, PATIENCE):
            facts = verb_function(verb)(desired, server)
    took = round(server.monotonic() - began, 3)
    return {"server": desired["server"], "verb": verb.value, **facts, "took": took}


def run_unit(verb: Verb, machine: Server, program: Program) -> int:
    """Inside a long verb's unit: do what it was begun for. The exit status. Raises Refusal."""
    program.verb(verb.value)
    status: int = _module("detached").run_request(verb.value, verb_function(verb), machine.keeping_in(program.folder))
    return status


def main(argv: List[str], program: Program = WINDOW) -> int:
    """Run a verb; 0 with facts on stdout, 1 with a refusal on stderr."""
    machine = Server()
    os.umask(0o022)
    try:
        if argv[:1] == ["run"]:
            return run_unit(program.verb(argv[1]), machine, program)
        if len(argv) == 1 and argv[0] in program.units:
            module, function = program.units[argv[0]]
            getattr(_module(module), function)(machine.keeping_in(program.folder))
            return 0
        facts = act(program.verb(argv[0]), json.load(sys.stdin), machine, program)
    except Refusal as refused:
        print(f"pgleap: {refused}", file=sys.stderr)
        return 1
    print(json.dumps(facts, sort_keys=True))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
