"""docs/faults.md, rendered from what the last whole run of these stories kept: python -m tests.lab.faults.table."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from rehearsal.drill.night import BACK_LIMIT, BACK_SECONDS
from rehearsal.drill.story import Row, kept
from rehearsal.lab.place import REPOSITORY

KEPT = Path(os.environ.get("PGLEAP_FAULTS") or REPOSITORY / ".cache" / "faults.json")
"""Where a whole run keeps its rows."""
PAGE = REPOSITORY / "docs" / "faults.md"

_HEAD = """\
# What was broken on purpose

Made by `tests/lab/faults` on the lab's ten servers, under traffic: one night, in this order, each fault beginning where
the one before ended. `make faults` does it, in a quarter of an hour, and writes this page.

- **Refused**: what the operator read, cut short. What to do stands behind it in the product's message, and in
  [recovery.md](recovery.md).
- **Writes**: what the application's clients were told is done while the fault was at work and repaired, and how much of
  that was not found again, one by one, on the database that held the authority in the end.
- **Failed reads**: of the clients that connect for each request and of the pool that tests its connections, on the three
  online servers. A server that is off the network itself is counted apart.
- **Back**: from the beginning of the command that went back (or the ^C) to the first accepted write of an online server.
  The goal of a way back that somebody asks for is {goal:g} s, on a machine of the operator's own. Here two cores carried the
  operator, ten servers, their clients and a probe; a run fails at {limit:g} s. After a ^C the engine is ended first, and from
  `cutover` the way leads over `upgrade`.

Beside the traffic a probe tried to write on every database server all the time, as rudely as it can: `BEGIN READ WRITE` in
new sessions and in old ones. Over the whole night no two databases took writes at the same time, and once DB_A had taken
one, db1 took none.

| fault | refused | writes: lost / acknowledged | failed reads / reads | back | repaired by |
|---|---|---|---|---|---|
"""


def page(rows: Sequence[Row]) -> str:
    """The page. Pure."""
    return _HEAD.format(goal=BACK_SECONDS, limit=BACK_LIMIT) + "".join(f"{_line(one)}\n" for one in rows)


def faults(text: str) -> list[str]:
    """The faults that a page names. Pure."""
    cells = [line.split(" | ")[0].removeprefix("| ") for line in text.splitlines() if line.startswith("| ")]
    return cells[1:]


def _line(one: Row) -> str:
    explained = "".join(f" ({name}: {count})" for name, count in one.explained.items())
    cells = (
        one.fault,
        "<br>".join(_cell(text) for text in one.refused) or "-",
        f"{one.lost} / {one.acknowledged}",
        f"{one.read_errors}{explained} / {one.reads}",
        "-" if one.back is None else f"{one.back:.1f} s",
        "; ".join(_cell(text) for text in one.repaired),
    )
    return f"| {' | '.join(cells)} |"


def _cell(text: str) -> str:
    """Text that a table cannot mistake for its own lines, nor for HTML."""
    return text.replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    PAGE.write_text(page(kept(KEPT)), encoding="utf-8")
