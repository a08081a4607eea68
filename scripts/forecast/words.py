"""A forecast in words and as a table."""

from __future__ import annotations

from rich.table import Table

from agent.amounts import told
from scripts.forecast.forecast import Forecast
from scripts.forecast.parts import phase_of

# Parts below this are told together.
SHORT_SECONDS = 0.5
BAD_MEANS = "in nine nights of ten no part is longer than its bad case; the whole's is all of them in one night"


def headline(found: Forecast) -> str:
    return f"Writes will be refused for about {found.median:.0f} s; in a bad case {found.bad:.0f} s."


def rests_on(found: Forecast) -> list[str]:
    """What the forecast is worth, in sentences."""
    shape = found.shape
    amount = (
        f"{told(shape.databases, shape.relations, shape.large_objects)},"
        f" {shape.bytes / 1e9:.1f} GB, pg_upgrade --{shape.transfer_mode} --jobs {shape.jobs}"
    )
    tried = (
        [f"DB_A dumped and restored these very definitions in {shape.trial_seconds:.1f} s (the schema trial)."]
        if shape.trial_seconds
        else []
    )
    if not found.runs:
        return [
            f"For {amount}.",
            *tried,
            "It rests on no window of yours: these are the lab's figures. Rehearse before you promise anything.",
        ]
    windows = "one window" if found.runs == 1 else f"{found.runs} windows"
    lines = [
        f"For {amount}.",
        *tried,
        f"It rests on {windows}; of these {found.alike} had the same versions, transfer mode and size of DB_A's machine.",
    ]
    if found.true_data:
        were = "One was a rehearsal" if found.true_data == 1 else f"{found.true_data} were rehearsals"
        lines.append(f"{were} on the true data: of the upgrade itself that says more than any window.")
    return lines + [f"Beyond what was seen: {sentence}." for sentence in found.beyond]


def table(found: Forecast) -> Table:
    """By part, the short ones of a phase together."""
    shown = Table("part", "median, s", "bad case, s", title="How long writes will be refused", caption=BAD_MEANS)
    for phase in dict.fromkeys(phase_of(part.name) for part in found.parts):
        parts = found.of(phase)
        short = [part for part in parts if part.bad < SHORT_SECONDS]
        for part in parts:
            if part not in short:
                shown.add_row(part.name, f"{part.median:.1f}", f"{part.bad:.1f}")
        if short:
            median, bad = sum(part.median for part in short), sum(part.bad for part in short)
            shown.add_row(f"{phase}: {len(short)} short parts", f"{median:.1f}", f"{bad:.1f}")
    shown.add_section()
    shown.add_row("[bold]the outage", f"[bold]{found.median:.1f}", f"[bold]{found.bad:.1f}")
    return shown
