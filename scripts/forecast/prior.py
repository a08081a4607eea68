"""What is believed of each part of an outage before any window was seen: figures of the lab, on two cores.

Seconds for one of each amount (model.py, `amounts`). README.md, "What it costs", and design figures: 8,000 relations in one
database took `pg_upgrade --link` 14 s, 5.7 s to dump the schema and 6.8 s to restore it.
"""

from __future__ import annotations

from collections.abc import Mapping

from scripts.forecast.parts import ENGINE, engine_part

Figures = Mapping[str, float]

DATABASE = "cutover: target database"
# Promotion, stop, pg_upgrade, start.
UPGRADE: Figures = {
    "one": 6.0,
    "relations": 0.0016,
    "databases": 0.8,
    "largeObjects": 0.0002,
    # A disk that reads and writes 200 MB/s.
    "copiedBytes": 5e-9,
}
# Of these the schema trial (agent/trial.py) does nothing: the machine's own acts, and the files.
NOT_TRIED = ("one", "copiedBytes")
# The other parts take what they take, on whichever server.
PLAIN: Figures = {
    "readonly: online hosts-file": 0.1,
    "readonly: replica sessions-online": 0.2,
    "readonly: primary client-gate": 0.6,
    "readonly: target finish": 0.3,
    "readonly: primary finish": 0.3,
    engine_part("readonly"): 0.3,
    "cutover: target announce": 0.3,
    "cutover: primary announce": 0.3,
    "cutover: target ready": 0.3,
    "cutover: primary client-gate": 0.4,
    "cutover: target client-gate": 0.5,
    "cutover: online hosts-file": 0.4,
    "cutover: replica sessions-online": 0.6,
    engine_part("cutover"): 1.0,
}
PARTS = (*PLAIN, DATABASE)
# An engine that begins looks at the steps of every server that has its own: 2.2 s with twelve of them.
PER_SERVER = {engine_part("cutover"): 0.1}


def figures(part: str) -> Figures:
    """Seconds for one of each amount that the part may depend on, 0 where nothing says that it does. Of a part that only other windows
    had, nothing is believed."""
    if part == DATABASE:
        return UPGRADE
    seconds = PLAIN.get(part, 0.0)
    if part.endswith(ENGINE):
        return {"one": seconds, "servers": PER_SERVER.get(part, 0.0)}
    if part.endswith(("hosts-file", "sessions-online", "offline-tasks", "load-balancer")):
        return {"one": seconds, "servers": 0.0}
    return {"one": seconds, "relations": 0.0, "databases": 0.0}


# How far off a figure may be, as a standard deviation: as much as it is itself, and at least this.
LEAST_DOUBT: Figures = {
    "one": 0.5,
    "relations": 0.0001,
    "databases": 0.02,
    "largeObjects": 0.00005,
    "copiedBytes": 5e-9,
    "servers": 0.02,
}
