"""What an engine that was killed leaves behind, and that the window ends it before it goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from scripts.window.watch import Over

# An engine starts a plugin in a process group of its own, as the real one does; the plugin has its pipes.
PLUGIN = "import os, signal, time; os.setpgid(0, 0); signal.signal(signal.SIGTERM, signal.SIG_IGN); print(os.getpid(), flush=True); time.sleep(60)"
ENGINE = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {PLUGIN!r}]); {{then}}"


def engine(then: str) -> tuple[subprocess.Popen[str], int]:
    """One that began, and its plugin's process."""
    up = subprocess.Popen(
        [sys.executable, "-c", ENGINE.format(then=then)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert up.stdout is not None
    return up, int(up.stdout.readline())


def lives(pid: int) -> bool:
    """Whether a process is there, and not only its entry, which nobody has taken away yet."""
    found = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.strip()
    return bool(found) and not found.startswith("Z")


@pytest.mark.parametrize("killed", [True, False])
def test_plugins_of_an_engine_that_is_gone_are_ended(killed: bool) -> None:
    """They hold its pipes: the window would wait for them, with writes refused; and go on telling servers what was given up."""
    up, plugin = engine("time.sleep(60)" if killed else "sys.exit(255)")
    began = time.monotonic()
    if killed:
        up.kill()
    over = Over.of(up)
    assert over.code == (-signal.SIGKILL if killed else 255)
    assert time.monotonic() - began < 20
    assert not lives(plugin)


def test_others_are_left_alone() -> None:
    """A plugin of another stack's engine, or of an `up` that somebody began by hand, is none of the window's."""
    other, others_plugin = engine("time.sleep(60)")
    up, _ = engine("time.sleep(60)")
    try:
        up.kill()
        Over.of(up)
        assert lives(others_plugin)
        assert other.poll() is None
    finally:
        with suppress(ProcessLookupError):
            os.kill(others_plugin, signal.SIGKILL)
        other.kill()
        other.communicate()
