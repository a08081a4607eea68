"""What was found, as data. Seconds are medians, memory is MiB at its highest (RSS), processor time is seconds of all cores."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from rehearsal.report.model import Machine


class Part(BaseModel):
    """What all parts share: nothing unknown in them, nothing changed once made, their fields' sentences in the JSON schema."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Process(Part):
    """One process of a command."""

    memory_mib: float
    processor_seconds: float


class Command(Part):
    """One `pulumi` command."""

    seconds: float
    steps: int
    """Those that servers and the operator's machine were told; 0 in a preview."""
    engine: Process
    program: Process
    stand_ins: Process
    """The process that stands in for language host and providers, and simulates the servers: its memory is that of the bench."""


class Remote(Part):
    """The `up` again, its state in a bucket that takes a fixed time for each write."""

    seconds: float
    state_writes: int
    """How often the whole state was written."""
    requests: int
    """All that the bucket was asked for: locks, copies and looks included."""


class Size(Part):
    """A fleet of so many servers."""

    servers: int
    resources: int
    edges: int
    """How often one resource waits for another one."""
    state_bytes: int
    config_bytes: int
    """The config as it reaches a program."""
    preview: Command
    """Of prepare -> readonly."""
    no_op: Command
    """An `up` that changes nothing."""
    up: Command
    """prepare -> readonly."""
    checkpoints: Remote
    no_checkpoints: Remote


class Growth(Part):
    """Of the three sizes: seconds per server from the middle to the largest, in relation to those from the smallest to the middle.
    1 is linear; twice as many servers that take four times as long come to more."""

    preview: float
    no_op: float
    up: float


class Fleets(Part):
    """All sizes, smallest first."""

    machine: Machine
    commit: str | None
    runs: int
    answer_seconds: float
    """What a simulated server takes for a step."""
    write_seconds: float
    """What the bucket takes for a write."""
    sizes: list[Size]
    growth: Growth | None
    """None with fewer than three sizes."""


def growth(sizes: list[Size]) -> Growth | None:
    """From the smallest, the middle and the largest size. Pure."""
    if len(sizes) < 3:
        return None
    three = (sizes[0], sizes[len(sizes) // 2], sizes[-1])

    def ratio(seconds: tuple[float, float, float]) -> float:
        slopes = [
            (seconds[later] - seconds[later - 1]) / (three[later].servers - three[later - 1].servers)
            for later in (1, 2)
        ]
        return round(slopes[1] / slopes[0], 2)

    return Growth(
        preview=ratio((three[0].preview.seconds, three[1].preview.seconds, three[2].preview.seconds)),
        no_op=ratio((three[0].no_op.seconds, three[1].no_op.seconds, three[2].no_op.seconds)),
        up=ratio((three[0].up.seconds, three[1].up.seconds, three[2].up.seconds)),
    )
