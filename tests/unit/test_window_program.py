"""The program that an engine finds loaded."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts.window.program import Program

PROJECT = Path(__file__).resolve().parents[2]
ENDS_SECONDS = 10.0


@contextmanager
def program(folder: Path) -> Iterator[Program]:
    started = Program(folder)
    try:
        yield started
    finally:
        started.close()


def listens(address: str) -> bool:
    host, port = address.split(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return False
    return True


def test_an_engine_finds_it_until_it_is_closed() -> None:
    """A program left behind after each window fills the machine."""
    with program(PROJECT) as loaded:
        address = loaded.address()
        assert address is not None
        assert listens(address)
    assert not listens(address)


def test_it_ends_with_whoever_started_it() -> None:
    """A window that is killed closes nothing."""
    with program(PROJECT) as loaded:
        address = loaded.address()
        assert address is not None
        assert loaded.process.stdin is not None
        loaded.process.stdin.close()
        until = time.monotonic() + ENDS_SECONDS
        while listens(address) and time.monotonic() < until:
            time.sleep(0.05)
        assert not listens(address)


def test_one_that_does_not_load_is_left_to_the_engine(tmp_path: Path) -> None:
    """A window that ends over what was to save it a second keeps writes refused."""
    with program(tmp_path) as loaded:
        assert loaded.address() is None


def test_what_a_stack_needs_besides_is_loaded_too(tmp_path: Path) -> None:
    """AWS's SDK takes half a second, in which writes would be refused; a module that is not there shows that it is tried."""
    started = Program(PROJECT, ["components.server"])
    assert started.address() is not None
    started.close()
    without = Program(PROJECT, ["components.no_such_module"])
    assert without.address() is None
    without.close()
