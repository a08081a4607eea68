"""The forecast of a stack's next window, from its own records and its servers."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from components.settings import Settings
from scripts.forecast import counts
from scripts.forecast.forecast import Forecast, forecast
from scripts.forecast.run import kept, records


def before(
    settings: Settings, project: Path, others: Iterable[Path] = (), deadline: float = counts.DEADLINE
) -> tuple[Forecast, int]:
    """The forecast, and how many lines of the records could not be understood. Raises CountsError, OSError."""
    runs, strange = kept((records(settings, project), *others))
    return forecast(runs, counts.present(settings, deadline)), strange
