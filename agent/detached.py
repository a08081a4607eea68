"""Long verbs run in a transient systemd unit: an SSH connection that drops does not end them, and the next `up` waits for the
run under way and reports its result rather than starting a second one (pulumi-command neither stops nor times such a run)."""

from __future__ import annotations

import json
import os
from typing import Any, Callable, Dict, Mapping, Optional

from agent import advice
from agent.postgres import wait_until
from agent.report import Facts, Refusal, progress
from agent.server import STATE_FOLDER, Server

POLL_SECONDS = 0.03
# How often systemd is asked whether the unit still lives; its result is looked for at every poll.
UNIT_SECONDS = 0.5
UNLOADING_SECONDS = 30


class Run:
    """One verb's run on this server: its request, its progress and its result are files, so that anybody can follow it."""

    def __init__(self, server: Server, verb: str) -> None:
        self.server = server
        self.verb = verb
        self.unit = f"pgleap-{verb}.service"
        self.request_file = f"{STATE_FOLDER}/{verb}.request.json"
        self.result_file = f"{STATE_FOLDER}/{verb}.result.json"
        self.progress_file = f"{STATE_FOLDER}/{verb}.progress"

    def is_under_way(self) -> bool:
        return self.server.run("systemctl", "is-active", self.unit, check=False).stdout.strip() in (
            "active",
            "activating",
            "deactivating",
        )

    def begin(self, desired: Mapping[str, Any], program: str) -> None:
        """Start the unit with this desired state as its request. `program` is the agent's path."""
        server = self.server
        # A unit that has left its result may take a moment more to go, and systemd starts no second one of its name.
        server.run("systemctl", "reset-failed", self.unit, check=False)
        wait_until(
            server,
            UNLOADING_SECONDS,
            f"{self.unit} of the run before to be gone",
            self._load_state,
            f"systemctl stop {self.unit}",
        )
        server.path(self.result_file).unlink(missing_ok=True)
        server.path(self.progress_file).unlink(missing_ok=True)
        server.write_json(self.request_file, dict(desired))
        server.run(
            "systemd-run", f"--unit={self.unit}", "--collect", "--quiet", "-p", f"StandardError=append:{server.path(self.progress_file)}",
            "-p", "StandardOutput=null", "/usr/bin/env", "python3", "-I", program, "run", self.verb,
        )  # fmt: skip

    def _load_state(self) -> Optional[str]:
        state = self.server.run("systemctl", "show", "--property=LoadState", "--value", self.unit).stdout.strip()
        return None if state == "not-found" else f"it is {state}"

    def follow(self) -> Facts:
        """Show its progress until it ends; its facts. Raises its Refusal, or one of our own if it ended without a word."""
        server, shown = self.server, 0
        asked = server.monotonic()
        alive = True
        while True:
            result = server.path(self.result_file)
            done = result.exists()
            shown = self._show(shown)
            if done:
                return outcome(json.loads(result.read_bytes()))
            if not alive:
                raise Refusal(
                    f"the unit {self.unit} to leave its result",
                    "it ended without one",
                    f"see {self.progress_file} on this server; then run `pulumi up` again",
                )
            if server.monotonic() - asked > UNIT_SECONDS:
                asked, alive = server.monotonic(), self.is_under_way()
            server.sleep(POLL_SECONDS)

    def _show(self, shown: int) -> int:
        path = self.server.path(self.progress_file)
        if not path.exists():
            return shown
        text = path.read_bytes()[shown:]
        whole = text[: text.rfind(b"\n") + 1]
        for line in whole.decode(errors="replace").splitlines():
            progress(line)
        return shown + len(whole)


def outcome(result: Mapping[str, Any]) -> Facts:
    """The facts in a result, or its refusal raised again."""
    if "refusal" in result:
        raise Refusal(**result["refusal"])
    facts: Dict[str, Any] = result["facts"]
    return facts


def ask(verb: str, desired: Mapping[str, Any], server: Server, program: str, goes_on_alone: bool) -> Facts:
    """Have a long verb done: attach to the run under way, or begin one; `goes_on_alone` begins it and does not wait."""
    run = Run(server, verb)
    with server.only_one(f"{verb}.front", patience=86_400):
        if run.is_under_way():
            progress(f"{run.unit} is under way from before: waiting for it")
            same = server.read_json(run.request_file) == dict(desired)
            try:
                facts = run.follow()
                if same:
                    return facts
            except Refusal:
                if same:
                    raise
        run.begin(desired, program)
        if goes_on_alone:
            round_ = advice.higher(int(desired["round"]))
            because = f"DB_A is built anew while writes go on; to wait for it: {advice.again(round_)}; on the server its progress is in {run.progress_file}"
            return {"changed": [f"started {run.unit}"], "because": because}
        return run.follow()


def run_request(verb: str, act: Callable[[Mapping[str, Any], Server], Facts], server: Server) -> int:
    """Inside the unit: do what was asked and leave the result. The exit status."""
    run = Run(server, verb)
    desired = server.read_json(run.request_file)
    result: Dict[str, Any]
    try:
        result = {"facts": act(desired, server)}
    except Refusal as refused:
        result = {"refusal": vars(refused)}
    server.write_json(run.result_file, result)
    return os.EX_OK if "facts" in result else 1
