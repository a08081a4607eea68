"""What the probes saw, as figures: rates, errors by SQLSTATE, who answered. Pure."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field

from scripts.watch.operation import Client, Kind, Operation

# Seconds that rates and latencies look back.
RECENT = 10.0
SLOW_PERCENT = 95


@dataclass
class Row:
    """One name, one kind of client, reads or writes. `failing_since`: the start of the first of the failures in a row, in seconds since
    the epoch, None while it succeeds; `longest` such time in seconds, the one that lasts included. `last_error` in the server's words."""

    total: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    last: Operation | None = None
    last_error: str = ""
    failing_since: float | None = None
    longest: float = 0.0
    _recent: deque[Operation] = field(default_factory=deque)

    def add(self, one: Operation) -> None:
        self.total += 1
        self.last = one
        self._recent.append(one)
        if one.ok:
            if self.failing_since is not None:
                self.longest = max(self.longest, one.end - self.failing_since)
            self.failing_since = None
            return
        self.errors[one.sqlstate or "none"] += 1
        self.last_error = one.error or ""
        self.failing_since = one.start if self.failing_since is None else self.failing_since
        self.longest = max(self.longest, one.end - self.failing_since)

    @property
    def failed(self) -> int:
        return self.errors.total()

    def rate(self, now: float) -> float:
        """Successes a second, of late."""
        return sum(one.ok for one in self._of_late(now)) / RECENT

    def slow(self, now: float) -> float | None:
        """Seconds that 95 % of the successes of late stayed within; None if there was none."""
        took = sorted(one.seconds for one in self._of_late(now) if one.ok)
        return took[min(len(took) - 1, len(took) * SLOW_PERCENT // 100)] if took else None

    def _of_late(self, now: float) -> deque[Operation]:
        while self._recent and self._recent[0].end < now - RECENT:
            self._recent.popleft()
        return self._recent


@dataclass
class Meter:
    """A row for each name, client and kind, in the order in which they first answered."""

    rows: dict[tuple[str, Client, Kind], Row] = field(default_factory=dict)

    def add(self, one: Operation) -> None:
        self.rows.setdefault((one.name, one.client, one.kind), Row()).add(one)

    @property
    def failing(self) -> bool:
        """Whether anything failed when it was tried last."""
        return any(row.failing_since is not None for row in self.rows.values())
