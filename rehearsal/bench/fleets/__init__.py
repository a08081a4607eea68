"""The engine and the program on fleets of many servers, which are simulated: what grows with the fleet, and how."""

from rehearsal.bench.fleets.found import Fleets
from rehearsal.bench.fleets.measure import measure
from rehearsal.bench.fleets.table import table

__all__ = ["Fleets", "measure", "table"]
