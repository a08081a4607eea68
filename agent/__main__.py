"""The agent's entry: `agent.pyz <verb>`, the desired state as JSON on stdin, one line of facts on stdout."""

from __future__ import annotations

import importlib
import json
import os
import sys
from typing import Any, Callable, List, Mapping

from agent import copies, detached, retirement
from agent.install import INSTALLED
from agent.report import Facts, Refusal
from agent.server import Server
from agent.states import Verb

# Its own unit and its own lock: it may go on while other verbs run.
LONG = (Verb.UPGRADE_TARGET, Verb.NEW_REPLICA)
# They only read: no lock, so that they neither wait for a step nor hold one up.
READING = (Verb.OBSERVE, Verb.PREFLIGHT)
# How long a verb waits for another one's run on this server, in seconds: longer than any short verb takes.
PATIENCE = 120


def verb_function(verb: Verb) -> Callable[[Mapping[str, Any], Server], Facts]:
    """The function of a verb; its module bears the verb's name."""
    name = verb.value.replace("-", "_")
    function: Callable[[Mapping[str, Any], Server], Facts] = getattr(importlib.import_module(f"agent.{name}"), name)
    return function


def act(verb: Verb, desired: Mapping[str, Any], server: Server) -> Facts:
    """Do what is asked, alone on this server, and tell how long it took. Raises Refusal."""
    began = server.monotonic()
    facts: Facts
    if retirement.is_over(verb, server):
        facts = {"changed": [], "because": "its PostgreSQL was stopped for good"}
    elif verb in LONG:
        long = importlib.import_module(f"agent.{verb.value.replace('-', '_')}")
        if long.is_short(desired, server):
            facts = verb_function(verb)(desired, server)
        else:
            facts = detached.ask(verb.value, desired, server, INSTALLED, long.goes_on_alone(desired, server))
    elif verb in READING:
        facts = verb_function(verb)(desired, server)
    else:
        with server.only_one("agent", PATIENCE):
            facts = verb_function(verb)(desired, server)
    took = round(server.monotonic() - began, 3)
    return {"server": desired["server"], "verb": verb.value, **facts, "took": took}


def main(argv: List[str]) -> int:
    """Run a verb; 0 with facts on stdout, 1 with a refusal on stderr."""
    server = Server()
    os.umask(0o022)
    try:
        if argv[:1] == ["run"]:
            verb = Verb(argv[1])
            return detached.run_request(verb.value, verb_function(verb), server)
        if argv == ["copies"]:
            copies.copies(server)
            return 0
        facts = act(Verb(argv[0]), json.load(sys.stdin), server)
    except Refusal as refused:
        print(f"pgleap: {refused}", file=sys.stderr)
        return 1
    print(json.dumps(facts, sort_keys=True))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
