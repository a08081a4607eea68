"""What the medians come to, as ratios. Pure."""

from __future__ import annotations

from rehearsal.bench.hosts_files.figures import OURS, HostsFiles, Tool
from rehearsal.bench.model import FLOOR, THREE_UPS, WINDOW, Found, WindowBench


class WindowRatios(Found):
    """One shape of data. Medians in seconds; ratios are times the floor's."""

    floor_seconds: float
    window_seconds: float
    three_ups_seconds: float
    window: float
    three_ups: float


class Ratios(Found):
    """Of each part that was measured."""

    windows: dict[str, WindowRatios]
    """By shape of data."""
    hosts_files: dict[int, dict[str, dict[str, float]]]
    """By number of hosts, and by pgleap's two ways: times the seconds of each other tool."""


def ratios(windows: WindowBench | None, hosts_files: HostsFiles | None) -> Ratios:
    """Of what there is."""
    return Ratios(
        windows=_of_windows(windows) if windows else {},
        hosts_files=_of_hosts_files(hosts_files) if hosts_files else {},
    )


def _of_windows(found: WindowBench) -> dict[str, WindowRatios]:
    return {
        one.shape: WindowRatios(
            floor_seconds=round(one.of(FLOOR).median, 3),
            window_seconds=round(one.of(WINDOW).median, 3),
            three_ups_seconds=round(one.of(THREE_UPS).median, 3),
            window=round(one.ratio(WINDOW, FLOOR), 3),
            three_ups=round(one.ratio(THREE_UPS, FLOOR), 3),
        )
        for one in found.shapes
    }


def _of_hosts_files(found: HostsFiles) -> dict[int, dict[str, dict[str, float]]]:
    others = [tool for tool in Tool if tool not in OURS]
    return {
        count: {
            ours.value: {other.value: round(found.ratio(ours, other, count), 3) for other in others} for ours in OURS
        }
        for count in found.counts
    }
