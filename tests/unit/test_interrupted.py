"""A program that its language host interrupts."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
WAIT = "import signal, time, threading; from components.interrupted import end_quietly; "


@pytest.mark.parametrize(
    ("begin", "status", "prints"),
    [
        ("end_quietly()", 32, ""),
        # scripts.window takes a ^C itself: a program in a thread of its must not.
        ("t = threading.Thread(target=end_quietly); t.start(); t.join()", -signal.SIGINT, "KeyboardInterrupt"),
    ],
)
def test_an_interrupt_ends_it_without_a_word_in_the_main_thread_alone(begin: str, status: int, prints: str) -> None:
    """What it prints stands below the refusal that matters; and where it is a guest, its host would end by it."""
    program = f"{WAIT}signal.signal(signal.SIGINT, signal.default_int_handler); {begin}; print('up', flush=True); time.sleep(60)"
    child = subprocess.Popen(
        [sys.executable, "-c", program], cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "up\n"
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=30)
    assert child.returncode == status
    assert said.strip().endswith(prints)
    assert bool(said) is bool(prints)
