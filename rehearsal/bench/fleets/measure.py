"""Fleets of several sizes through preview, an `up` that changes nothing, and an `up` to readonly."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from agent.states import Phase
from rehearsal import facts
from rehearsal.bench import files
from rehearsal.bench.fleets import bucket
from rehearsal.bench.fleets.bucket import Bucket
from rehearsal.bench.fleets.found import Command, Fleets, Remote, Size, growth
from rehearsal.bench.fleets.servers import ANSWER_SECONDS
from rehearsal.bench.fleets.stack import STATE_FILE, Stack, opened
from rehearsal.engine.engine import ensure
from rehearsal.lab.place import Report
from scripts.window.engine import NO_CHECKPOINTS

SERVERS = (10, 200, 1000)


def measure(
    runs: int, report: Report, servers: Sequence[int] = SERVERS, answer_seconds: float = ANSWER_SECONDS
) -> Fleets:
    """Medians of `runs` for each size; the state in a bucket is looked at once. Minutes: most of them for the largest fleet."""
    engine = ensure(report)
    sizes = [_size(engine, count, runs, answer_seconds, report) for count in sorted(servers)]
    return Fleets(
        machine=facts.machine(),
        commit=files.commit(),
        runs=runs,
        answer_seconds=answer_seconds,
        write_seconds=bucket.WRITE_SECONDS,
        sizes=sizes,
        growth=growth(sizes),
    )


def _size(engine: Path, servers: int, runs: int, answer_seconds: float, report: Report) -> Size:
    report(f"{servers} servers: to prepare")
    with (
        tempfile.TemporaryDirectory(prefix="pgleap-bench-") as folder,
        opened(engine, Path(folder), servers, answer_seconds) as stack,
    ):
        resources = stack.state()
        no_op = _median(runs, lambda: _up(stack, Phase.PREPARE), report, "up without changes")
        preview = _median(runs, lambda: _preview(stack), report, "preview of readonly")
        up = _median(runs, lambda: _up(stack, Phase.READONLY), report, "up to readonly")
        with bucket.served() as state:
            checkpoints = _remote(stack, state, {}, report, "with checkpoints")
            no_checkpoints = _remote(stack, state, NO_CHECKPOINTS, report, "without")
        return Size(
            servers=servers,
            resources=len(resources),
            edges=sum(len(found.get("dependencies", ())) for found in resources),
            state_bytes=(stack.pulumi.backend / STATE_FILE).stat().st_size,
            config_bytes=stack.config_bytes(),
            preview=preview,
            no_op=no_op,
            up=up,
            checkpoints=checkpoints,
            no_checkpoints=no_checkpoints,
        )


def _median(runs: int, command: Callable[[], Command], report: Report, what: str) -> Command:
    """The run whose seconds are the median; of an even number the slower one of the two in the middle."""
    found = [command() for _ in range(runs)]
    middle = statistics.median_high(one.seconds for one in found)
    median = next(one for one in found if one.seconds == middle)
    report(f"  {what}: {median.seconds:.1f} s, {median.steps} steps")
    return median


def _up(stack: Stack, phase: Phase) -> Command:
    stack.back()
    stack.ask(phase)
    done = stack.up()
    stack.check(stack.state())
    return done


def _preview(stack: Stack) -> Command:
    stack.back()
    stack.ask(Phase.READONLY)
    return stack.preview()


def _remote(stack: Stack, state: Bucket, more: dict[str, str], report: Report, what: str) -> Remote:
    stack.back()
    stack.ask(Phase.READONLY)
    state.fill(stack.pulumi.backend)
    done = stack.up({"PULUMI_BACKEND_URL": state.url, **bucket.CREDENTIALS, **more})
    found = Remote(seconds=done.seconds, state_writes=state.writes(STATE_FILE), requests=state.asked.total())
    state.take(stack.pulumi.backend)
    stack.check(stack.state())
    report(f"  the same, state in a bucket, {what}: {found.seconds:.1f} s, {found.state_writes} writes of the state")
    return found
