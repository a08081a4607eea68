"""What was measured, and what follows from it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from statistics import median
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from rehearsal.report.model import Machine, Step

Figure = Literal["seconds", "spread", "span", "hosts_cpu", "own_cpu"]
HOSTS_FILES = "-hosts-files"


class Tool(StrEnum):
    """Who leads the names elsewhere, in the order in which they take turns."""

    PULUMI = "pulumi up"
    WINDOW = "scripts.window"
    ANSIBLE = "Ansible"
    PYINFRA = "pyinfra"
    SSH = "plain ssh"
    SSH_AGENT = "plain ssh, the same agent"


OURS = (Tool.PULUMI, Tool.WINDOW)


class Took(NamedTuple):
    """One command: its seconds as a whole, and, as the engine's events tell it, from the first hosts file's step to the end of the last."""

    seconds: float
    span: float | None = None


class Part(BaseModel):
    """What all parts share: nothing unknown in them, and nothing changed once read."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Run(Part):
    """One change of all hosts' files by one tool, in seconds."""

    seconds: float
    """The whole command."""
    spread: float
    """From the first host whose file was changed to the last one."""
    span: float | None
    """From the first hosts file's step that began to the last one that ended; null for what has no engine."""
    hosts_cpu: float
    """What the hosts' own processes had of this machine's processors, all hosts together: in a real fleet each has its own."""
    own_cpu: float
    """What all else had of them meanwhile, which is the tool: what an operator's machine has to give."""


class Measured(Part):
    """The runs of one tool on so many hosts."""

    tool: Tool
    hosts: int
    runs: tuple[Run, ...]

    def median(self, figure: Figure) -> float | None:
        """The median of one figure over the runs; None if the tool has none."""
        found = [value for run in self.runs if (value := getattr(run, figure)) is not None]
        return median(found) if found else None


class HostsFiles(Part):
    """What `measure` found."""

    machine: Machine
    commit: str | None
    ansible: str
    """The version of ansible-core."""
    pyinfra: str
    measured: tuple[Measured, ...]

    @property
    def counts(self) -> tuple[int, ...]:
        """How many hosts, from few to many."""
        return tuple(sorted({one.hosts for one in self.measured}))

    def of(self, tool: Tool, hosts: int) -> Measured:
        """Raises LookupError."""
        for one in self.measured:
            if one.tool is tool and one.hosts == hosts:
                return one
        raise LookupError(f"{tool} on {hosts} hosts")

    def seconds(self, tool: Tool, hosts: int) -> float:
        """The median of whole commands."""
        found = self.of(tool, hosts).median("seconds")
        assert found is not None
        return found

    def ratio(self, tool: Tool, other: Tool, hosts: int) -> float:
        """How many times as long as another tool, by the medians."""
        return self.seconds(tool, hosts) / self.seconds(other, hosts)

    def per_host(self, tool: Tool, figure: Figure = "seconds") -> float | None:
        """Seconds that each further host costs between the last two counts; None with fewer than two, or without that figure."""
        if len(self.counts) < 2:
            return None
        few, many = self.counts[-2:]
        begin, end = self.of(tool, few).median(figure), self.of(tool, many).median(figure)
        return None if begin is None or end is None else (end - begin) / (many - few)

    def window_behind(self, ssh: Tool) -> float:
        """Seconds that the window's `up` takes longer than one of the two plain ssh on the most hosts."""
        most = self.counts[-1]
        return self.seconds(Tool.WINDOW, most) - self.seconds(ssh, most)


def span(steps: Iterable[Step]) -> float:
    """Seconds from the first hosts file's step that began to the end of the last. Raises ValueError if one has not ended, or failed, or
    there are none."""
    found = [step for step in steps if step.name.endswith(HOSTS_FILES)]
    unfinished = [step.name for step in found if step.ended is None or step.failed]
    if unfinished or not found:
        raise ValueError(f"expected steps of hosts files that all ended well, found these that did not: {unfinished}")
    return max(step.ended for step in found if step.ended is not None) - min(step.began for step in found)
