"""A drained server leaves or rejoins its load balancer: `python -m scripts.load_balancer`, desired state on stdin. A step of the
program runs it on the operator's machine; by hand it is not needed.

AWS target groups are observed, so nothing is done twice. Commands tell nothing of what was: they are run whenever the step runs.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress

from scripts.local_step import Desired, Time, main, say
from scripts.report import Facts, Refusal

# Of what a command that failed has said, in letters.
LAST_LETTERS = 4000


def load_balancer(desired: Desired, time: Time) -> Facts:
    """Bring the server in or out, as `membership` says. Raises Refusal."""
    if "command" in desired:
        return by_command(desired)
    # Here, for boto3 takes half a second to import.
    from scripts.target_groups import target_groups  # noqa: PLC0415

    return target_groups(desired, time)


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
