"""The bench of the outage: its figures and tables, what the script by hand does to a hosts file, and the data it is measured on."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from rehearsal.bench import page, shapes, windows
from rehearsal.bench.model import FLOOR, THREE_UPS, WINDOW
from rehearsal.lab.fleet import ORDINARY, hosts_file
from tests.bench import made_up
from tests.bench.made_up import MACHINE


def test_medians_and_ratios() -> None:
    """A mean, or the best run, would flatter one way."""
    small, odd = made_up.windows().shapes
    assert small.of(WINDOW).median == 8.0
    assert small.above(WINDOW, FLOOR) == pytest.approx(3.0)
    assert small.ratio(THREE_UPS, FLOOR) == pytest.approx(4.0)
    assert odd.above(WINDOW, FLOOR) == pytest.approx(-2.0)


def test_a_shape_that_was_measured_stays_beside_the_next() -> None:
    """A run that fails after an hour has measured nothing, or what was measured on other code stands in one table with it."""
    whole = made_up.windows()
    small, odd = (whole.model_copy(update={"shapes": [shape]}) for shape in whole.shapes)
    assert odd.after(small.after(None)) == whole
    again = small.model_copy(update={"shapes": [small.shapes[0].model_copy(update={"writes": 1})]})
    assert [(one.shape, one.writes) for one in again.after(whole).shapes] == [("odd", 100), ("small", 1)]
    for other in ({"commit": "another"}, {"runs": 5}, {"machine": MACHINE.model_copy(update={"cores": 4})}):
        assert odd.after(small.model_copy(update=other)) == odd


def test_the_table_says_what_was_found() -> None:
    """A figure in the wrong column is believed."""
    lines = page.windows(made_up.windows())
    small = next(line for line in lines if line.startswith("| small"))
    assert small.split(" | ")[3:6] == ["5.0 s (4.0, 6.0, 5.0)", "8.0 s (9.0, 7.0, 8.0)", "**+3.0 s**"]
    assert small.endswith("| 1.60, 4.00 |")
    assert any("All 200 acknowledged writes of these runs were found again." in line for line in lines)
    assert "| cutover: the engine | 1.50 s | 1.50 s |" in lines
    assert "| all else | 0.05 s | 0.05 s |" in lines, "short parts are told together, and not left out"


def test_a_page_without_a_place_is_refused() -> None:
    """A table that is written nowhere is missed by nobody."""
    with pytest.raises(ValueError, match="bench: windows"):
        page.with_parts("nothing", "a page", {"windows": ["a table"]})


def test_the_script_moves_database_names_and_nothing_else(tmp_path: Path) -> None:
    """By hand would lead nobody anywhere, or everything: a floor that did less, or more, than the work."""
    script = windows.SCRIPT.read_text(encoding="utf-8")
    (expression,) = re.findall(r'sed -i "([^"]+)" /etc/hosts', script)
    names = "\\|".join(name.replace(".", "\\.") for name in ORDINARY.names)
    file = tmp_path / "hosts"
    before = hosts_file(ORDINARY.named("web1"))
    file.write_text(before)
    told = expression.replace("$names", names).replace("$address", "10.77.0.99")
    subprocess.run(["sed", "-i", told, str(file)], check=True)
    moved = [line for line in file.read_text().splitlines() if line not in before.splitlines()]
    assert len(moved) == len(ORDINARY.names)
    assert all(line.startswith("10.77.0.99 ") for line in moved)
    assert len(file.read_text().splitlines()) == len(before.splitlines())


@pytest.mark.parametrize("shape", shapes.SHAPES, ids=lambda shape: shape.name)
def test_shapes_are_what_they_are_called(shape: shapes.Shape) -> None:
    """Twenty databases that are all in one, or no tables at all, and the same figures for every shape."""
    said: list[tuple[str, str]] = []

    def psql(database: str, text: str) -> str:
        said.append((database, text))
        return ""

    shapes.make(shape, psql)
    made = {text.split()[2] for _, text in said if text.startswith("CREATE DATABASE tenant")}
    assert len(made) == shape.databases - 1
    filled = {
        database: int(re.findall(r"extra_tables (\d+)", text)[0]) for database, text in said if "extra_tables" in text
    }
    assert sum(filled.values()) == shape.tables
    assert len(filled) == (shape.databases if shape.tables else 0)
    assert [text for _, text in said if text.startswith("DROP DATABASE")] == [
        f"DROP DATABASE {name};" for name in shapes.OTHERS
    ]
