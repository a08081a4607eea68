"""The program that an engine finds loaded."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from pulumi.runtime.proto import language_pb2, language_pb2_grpc

from scripts.window import serve_program
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


def asked(address: str) -> Future[language_pb2.AboutResponse]:
    """What the program says of itself to an engine that asks; done once it answers."""
    pool = ThreadPoolExecutor(1)
    stub = language_pb2_grpc.LanguageRuntimeStub(grpc.insecure_channel(address))
    answer = pool.submit(stub.About, language_pb2.AboutRequest(), timeout=ENDS_SECONDS)
    pool.shutdown(wait=False)
    return answer


def test_an_engine_that_was_begun_ahead_waits() -> None:
    """One that goes on by itself runs cutover while readonly is under way."""
    with program(PROJECT) as loaded:
        address = loaded.address()
        assert address is not None
        answer = asked(address)
        refused = language_pb2_grpc.LanguageRuntimeStub(grpc.insecure_channel(address)).Run(language_pb2.RunRequest())
        assert refused.error == serve_program.NOT_WANTED
        assert not answer.done()
        loaded.answer()
        assert answer.result().executable == sys.executable


def test_an_engine_whose_window_died_runs_nothing() -> None:
    """A window that is killed leaves an engine that waits; nobody would watch what it does then."""
    with program(PROJECT) as loaded:
        address = loaded.address()
        assert address is not None
        answer = asked(address)
        assert loaded.process.stdin is not None
        loaded.process.stdin.close()
        with pytest.raises(grpc.RpcError):
            answer.result()
        assert loaded.process.wait(ENDS_SECONDS) == 0


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
