"""What was found, as Markdown. Pure."""

from __future__ import annotations

from rehearsal.bench.hosts_files.figures import OURS, Figure, HostsFiles, Tool

# How tools are called on the page.
_CALLED = {
    Tool.PULUMI: "`pulumi up`",
    Tool.WINDOW: "`scripts.window`, its `up`",
    Tool.SSH: "plain `ssh`, `sed`",
    Tool.SSH_AGENT: "plain `ssh`, the agent's verb",
}


def table(found: HostsFiles) -> list[str]:
    """The lines of a table for each number of hosts, side by side, and what they come to."""
    counts = found.counts
    runs = min(len(one.runs) for one in found.measured)
    head = [
        "",
        *(f"{count} hosts" for count in counts),
        "each further host",
        "first to last host",
        "hosts' own work",
        "tool's own work",
    ]
    lines = [_row(head), "|---" + "|---:" * (len(head) - 1) + "|"]
    most = counts[-1]
    for tool in Tool:
        whole = [f"{found.seconds(tool, count):.1f} s" for count in counts]
        figures: tuple[Figure, ...] = ("spread", "hosts_cpu", "own_cpu")
        more = [_seconds(found, tool, most, figure) for figure in figures]
        lines.append(_row([_called(found, tool), *whole, _milliseconds(found.per_host(tool)), *more]))
    few = counts[-2] if len(counts) > 1 else most
    spans = [f"{_called(found, tool)} {_seconds(found, tool, most, 'span')}" for tool in OURS]
    told = (
        f"Whole commands, medians of {runs} in turns on the same hosts; the last three columns at {most} hosts, each further one between "
        f"{few} and {most}. The hosts' own work is processor time on all hosts together, which here share {found.machine.cores} cores with the "
        "tool; in a fleet each has its own, and only the tool's own work is the operator's machine's."
    )
    ends = (
        f"From the first hosts file's step to the end of the last, {most} hosts: {', '.join(spans)}. "
        f"The window's `up` takes {found.window_behind(Tool.SSH):.1f} s longer than plain `ssh` with `sed`, and "
        f"{found.window_behind(Tool.SSH_AGENT):.1f} s longer than plain `ssh` with the agent's verb, which it runs itself."
    )
    lines += ["", told, "", ends]
    return lines


def _called(found: HostsFiles, tool: Tool) -> str:
    versions = {Tool.ANSIBLE: found.ansible, Tool.PYINFRA: found.pyinfra}
    name = _CALLED.get(tool, tool.value)
    return f"{name} {versions[tool]}" if tool in versions else name


def _seconds(found: HostsFiles, tool: Tool, hosts: int, figure: Figure) -> str:
    value = found.of(tool, hosts).median(figure)
    return "" if value is None else f"{value:.1f} s"


def _milliseconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds * 1000:.0f} ms"


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
