"""What the program does when its language host interrupts it."""

from __future__ import annotations

import os
import signal
import threading

# The exit status by which the SDK's programs say that whoever runs them was told already what failed (pulumi-language-python-exec,
# 3.250): the host adds nothing.
TOLD = 32


def end_quietly() -> None:
    """End at once on an interrupt. The host sends one when a step has failed, as a terminal does on ^C, and Python would print where
    the program waited: twenty-five lines below the refusal that matters. What was asked of the engine is the engine's to end.

    Only where this is the main thread, the one that may: scripts.window serves the program in another, and takes its interrupts itself.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, lambda *_: os._exit(TOLD))
