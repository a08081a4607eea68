"""What a rehearsal is asked for on the command line: read as it was meant, and refused with every mistake."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rehearsal import asked
from rehearsal.data.fill import Size
from rehearsal.lab.databases import limits
from rehearsal.lab.fleet import ORDINARY
from rehearsal.lab.place import LabError
from rehearsal.traffic.mix import Mix


def test_data_is_as_much_as_asked_for() -> None:
    """A rehearsal of less than was meant has figures that nobody reaches in the night."""
    size = asked.size("databases=20, relations=8000,rows=50000,scale=10,large-objects=2000")
    assert size == Size(rows=50_000, bench_scale=10, extra_tables=1600, databases=20, large_objects=2000)
    assert len(size.more) == 16
    tables = size.tables()
    assert tables.keys() == {"metrics", *size.more}
    assert sum(tables.values()) * asked.RELATIONS_A_TABLE == 8000
    assert max(tables.values()) - min(tables.values()) <= 1
    assert asked.size(None) == asked.size("") == Size()
    assert asked.size("relations=0").tables() == {"metrics": 0}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("tables=3", "expected key=number with one of the keys databases, relations"),
        ("rows", "expected a whole number"),
        ("rows=many", "expected a whole number"),
        ("rows=-5", "expected a whole number"),
        ("rows=5", "expected 100 to 2000000 (every table is compared"),
        ("databases=101", "expected 4 to 100"),
        ("rows=500,rows=600", "rows is given twice"),
    ],
)
def test_a_mistake_in_data_is_named(text: str, words: str) -> None:
    """What is silently left out was not rehearsed."""
    with pytest.raises(LabError) as error:
        asked.size(text)
    assert str(error.value).startswith("--data: ")
    assert words in str(error.value)


def test_every_mistake_is_named_at_once() -> None:
    """One at a time takes as many tries as there are mistakes."""
    with pytest.raises(LabError) as error:
        asked.mix("reads=0,writes=x,speed=9")
    assert len(str(error.value).splitlines()) == 3


def test_traffic_is_as_much_as_asked_for() -> None:
    """Without the option clients have each their own pace, which the lab's two cores carry."""
    assert asked.mix(None) is None
    assert asked.mix("documents=5") == Mix(asked.ORDINARY_TRAFFIC.reads, asked.ORDINARY_TRAFFIC.writes, documents=5)
    assert asked.mix("reads=50,clients=6") == Mix(reads=50, writes=asked.ORDINARY_TRAFFIC.writes, clients=6)


def test_connections_fit_the_server() -> None:
    """PostgreSQL refuses one connection too many: reads would fail, and it would look like pgleap's fault."""
    ordinary = asked.connections(None, ORDINARY)
    assert ordinary + 60 <= limits(4, ordinary)["max_connections"] == 200
    many = asked.connections(Mix(50, 20, clients=12), ORDINARY)
    assert limits(4, many)["max_connections"] == many + 60 > 200
    crowded = replace(ORDINARY, names={**ORDINARY.names, **{f"more{n}.ln": "db2" for n in range(9)}})
    with pytest.raises(LabError, match="ask for fewer `clients`"):
        asked.connections(Mix(50, 20, clients=24), crowded)


def test_a_way_back_has_its_workers_and_slots() -> None:
    """With fewer than databases the way back after cutover is refused, in the lab alone."""
    for databases in (4, 20, 100):
        found = limits(databases, 0)
        for name in ("max_logical_replication_workers", "max_worker_processes", "max_replication_slots"):
            assert found[name] > databases + 2, name
        assert found["max_worker_processes"] > found["max_logical_replication_workers"]


def test_dumps_are_files_for_databases_of_their_own(tmp_path: Path) -> None:
    """Restored over one of the lab's own databases, half of it would fail, and the traffic too."""
    for name in ("crm.sql", "shop.sql"):
        (tmp_path / name).write_text("")
    crm, shop = tmp_path / "crm.sql", tmp_path / "shop.sql"
    assert asked.dumps([str(crm), f"shop_real={shop}"], Size()) == [
        asked.Dump("crm", crm),
        asked.Dump("shop_real", shop),
    ]
    given = [str(shop), str(crm), f"crm={shop}", str(tmp_path / "gone.sql"), f"Big={crm}", f"tenant1={crm}"]
    with pytest.raises(LabError) as error:
        asked.dumps(given, Size(databases=5))
    said = str(error.value).splitlines()
    assert len(said) == 5
    assert "a database shop already; give another name, shop_real=" in said[0]
    assert "a database crm already" in said[1]
    assert "found none at" in said[2]
    assert "lower case letters" in said[3]
    assert "a database tenant1 already" in said[4]


def test_a_config_says_how_much_there_is() -> None:
    """Data and traffic given in the config and passed over: the rehearsal is of the lab's own small ones, and nobody is told."""
    keys = {"pgleap:phase": "prepare", "lab:data": {"databases": 6, "largeObjects": 500}, "aws:region": "x"}
    data, traffic = asked.in_config(keys)
    assert asked.size(data).large_objects == 500
    assert asked.size(data).databases == 6
    assert traffic is None
    assert asked.in_config({"lab:traffic": {"reads": 20}}) == (None, "reads=20")


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"lab:date": {"rows": 500}}, "lab:date: expected lab:data or lab:traffic"),
        ({"lab:data": 500}, "lab:data: expected keys with numbers"),
    ],
)
def test_a_mistake_in_a_config_is_named(keys: dict[str, object], words: str) -> None:
    """A key with a slip of the finger is passed over, as pulumi does with what it does not know."""
    with pytest.raises(LabError, match=words):
        asked.in_config(keys)


def test_a_number_in_a_config_is_named_by_its_path() -> None:
    """`--data` in a message to somebody who never typed it."""
    data, _ = asked.in_config({"lab:data": {"rows": 5}})
    with pytest.raises(LabError, match=r"^lab:data: 'rows=5': expected 100 to"):
        asked.size(data, asked.DATA_KEY)
