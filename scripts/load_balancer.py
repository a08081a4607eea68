"""Drained servers leave or rejoin their load balancer: `python -m scripts.load_balancer`, desired state on stdin. A step of the
program runs it on the operator's machine; by hand it is not needed.

All servers at once, for each may drain for minutes; one that fails holds up none of the others.

AWS target groups are observed, so nothing is done twice. Commands tell nothing of what was: they are run whenever the step runs.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

from scripts.local_step import Desired, Time, main, say, speaking_of
from scripts.many import each_of, refusal, together
from scripts.report import Facts, Refusal

# Of what a command that failed has said, in letters.
LAST_LETTERS = 4000
# What a refusal expected of each server, by the membership that is asked for.
EXPECTED = {"in": "the load balancer to have taken back", "out": "the load balancer to have let go"}


def load_balancer(desired: Desired, time: Time) -> Facts:
    """Bring every server in or out, as `membership` says. Raises Refusal if any failed, once all others are done."""
    asked = each_of(desired)
    with ThreadPoolExecutor(max_workers=len(asked)) as pool:
        ended = dict(zip(asked, pool.map(partial(_one, _way(desired, time)), asked.values()), strict=True))
    failed = {name: str(end) for name, end in ended.items() if isinstance(end, Refusal)}
    if failed:
        raise refusal(EXPECTED[desired["membership"]], failed, len(asked))
    done = {name: end for name, end in ended.items() if not isinstance(end, Refusal)}
    return {"membership": desired["membership"], **together(done)}


def _way(desired: Desired, time: Time) -> Callable[[Desired], Facts]:
    """How one server leaves or rejoins. Raises Refusal."""
    if "region" not in desired:
        return by_command
    # Here, for boto3 takes half a second to import.
    from scripts import aws  # noqa: PLC0415
    from scripts.target_groups import target_groups  # noqa: PLC0415

    # One for all: it may be used by many threads at once, and made by one only.
    with aws.errors_told(desired):
        elb = aws.load_balancing(desired)
    return lambda asked: target_groups(asked, time, elb)


def _one(way: Callable[[Desired], Facts], asked: Desired) -> Facts | Refusal:
    with speaking_of(asked["server"]):
        try:
            return way(asked)
        except Refusal as refused:
            say(str(refused))
            return refused


def by_command(desired: Desired) -> Facts:
    """Run the command of this membership, without a shell, ended past its deadline. Raises Refusal if it fails."""
    out = desired["membership"] == "out"
    argv: Sequence[str] = desired["command"]
    seconds: float = desired["drainSeconds" if out else "healthySeconds"]
    given = f"pgleap:loadBalancer.commands.{desired['membership']}"
    say(f"running {shlex.join(argv)}")
    expected = f"`{shlex.join(argv)}` to succeed within {seconds:g} s"
    to_do = f"mend it ({given} in the stack's config), then run `pulumi up` again"
    # A file, for what the command leaves running in the background would hold a pipe open.
    with tempfile.TemporaryFile() as said:
        try:
            child = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT, start_new_session=True
            )
        except OSError as error:
            raise Refusal(expected, f"it cannot be run: {error}", to_do) from None
        try:
            status = child.wait(seconds)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            raise Refusal(expected, f"it was still running after {seconds:g} s, and was ended", to_do) from None
        said.seek(0)
        words = said.read().decode(errors="replace").strip()
    if status != 0:
        raise Refusal(expected, f"exit status {status}; it said: {words[-LAST_LETTERS:] or 'nothing'}", to_do)
    for line in words[-LAST_LETTERS:].splitlines():
        say(line)
    return {
        "membership": desired["membership"],
        "changed": [f"ran {shlex.join(argv)}"],
        "because": "what the load balancer holds is its command's to know",
    }


if __name__ == "__main__":
    sys.exit(main(load_balancer))
