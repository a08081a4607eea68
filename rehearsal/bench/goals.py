"""What the bench was to show, held against what it found: each goal met, or missed and by how much. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from rehearsal.bench.fleets.found import Fleets
from rehearsal.bench.hosts_files.figures import OURS, HostsFiles, Tool
from rehearsal.bench.model import FLOOR, WINDOW, Found, WindowBench

# Seconds that the window may take longer than the script by hand, and its hosts files than plain ssh.
ABOVE_FLOOR = 3.0
BEHIND_SSH = 5.0
# Times what another tool takes.
NO_MORE = 1.0
# Times the seconds per server of smaller fleets: 1 is linear, and a tenth more is what the machine's moods come to.
LINEAR = 1.1
SSH = {Tool.SSH: "`sed`", Tool.SSH_AGENT: "the agent's verb"}

Unit = Literal["s", "times"]


class Goal(Found):
    """`found` is the worst of all that was measured, and `at` where that was."""

    goal: str
    limit: float
    found: float
    unit: Unit
    at: str
    met: bool


def goals(windows: WindowBench | None, hosts_files: HostsFiles | None, fleets: Fleets | None) -> list[Goal]:
    """Of what there is."""
    return [
        *(_of_windows(windows) if windows else ()),
        *(_of_hosts_files(hosts_files) if hosts_files else ()),
        *(_of_fleets(fleets) if fleets else ()),
    ]


def table(found: Sequence[Goal]) -> list[str]:
    """One row for each goal."""
    rows = ["| goal | limit | the worst found | |", "|---|---:|---:|---|"]
    for one in found:
        limit, worst = (
            f"{value:.1f} s" if one.unit == "s" else f"{value:.2f} times" for value in (one.limit, one.found)
        )
        rows.append(f"| {one.goal} | {limit} | {worst} ({one.at}) | {'met' if one.met else '**missed**'} |")
    return rows


def _of_windows(found: WindowBench) -> list[Goal]:
    above = {one.shape: one.above(WINDOW, FLOOR) for one in found.shapes}
    return [_worst("`scripts.window` refuses writes hardly longer than an expert by hand", ABOVE_FLOOR, "s", above)]


def _of_hosts_files(found: HostsFiles) -> list[Goal]:
    most = f"{found.counts[-1]} hosts"
    made = []
    for ours in OURS:
        times = {f"{count} hosts": found.ratio(ours, Tool.PYINFRA, count) for count in found.counts}
        made.append(_worst(f"hosts files, `{ours.value}`: no slower than pyinfra", NO_MORE, "times", times))
    for ssh, what in SSH.items():
        ours_each, ssh_each = found.per_host(Tool.WINDOW), found.per_host(ssh)
        if ours_each is not None and ssh_each is not None:
            said = f"hosts files in the window: each further host no dearer than with plain `ssh` and {what}"
            made.append(_worst(said, NO_MORE, "times", {most: ours_each / ssh_each}))
    for ssh, what in SSH.items():
        said = f"hosts files in the window: hardly longer than plain `ssh` with {what}"
        made.append(_worst(said, BEHIND_SSH, "s", {most: found.window_behind(ssh)}))
    return made


def _of_fleets(found: Fleets) -> list[Goal]:
    if found.growth is None:
        return []
    at = f"{found.sizes[-1].servers:,} servers"
    ratios = {
        "`preview`": found.growth.preview,
        "`up` without changes": found.growth.no_op,
        "`up` to readonly": found.growth.up,
    }
    return [
        _worst(f"{what} grows as the fleet does, 1 being linear", LINEAR, "times", {at: it})
        for what, it in ratios.items()
    ]


def _worst(goal: str, limit: float, unit: Unit, found: Mapping[str, float]) -> Goal:
    at = max(found, key=lambda one: found[one])
    worst = round(found[at], 3)
    return Goal(goal=goal, limit=limit, found=worst, unit=unit, at=at, met=worst <= limit)
