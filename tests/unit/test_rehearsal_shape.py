"""The fleet of a rehearsal, made from a stack's own config: its shape, as far as one machine goes, and a stack of its own that is valid."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from components.settings import Role, Settings
from rehearsal import operator_stack, shape
from rehearsal.lab import keys, network
from rehearsal.lab.databases import slot
from rehearsal.lab.fleet import ORDINARY, Fleet, Server, hosts_file
from rehearsal.lab.place import REPOSITORY, LabError, Place
from rehearsal.load_balancer import LoadBalancer
from tests.unit.example_config import CONFIG, host_key

BALANCER = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/web/58480878b5a786cc"


def config(**more: Any) -> dict[str, Any]:
    return {**{key: value for key, value in CONFIG.items() if "assword" not in key}, **more}


def large() -> dict[str, Any]:
    """Forty-four servers: one machine does not boot them."""
    servers = {name: dict(one) for name, one in CONFIG["servers"].items() if one["role"] in ("primary", "target")}
    names = {"db1.internal.ln": "db1"}
    roles = {"replica": 6, "new-replica": 6, "online": 6, "drained": 20, "worker": 4}
    for role, count in roles.items():
        for number in range(1, count + 1):
            name = f"{role}{number}"
            more: dict[str, dict[str, Any]] = {
                "worker": {"tasks": ["jobs.timer", "jobs.service"]},
                "new-replica": {"takesOver": f"replica{number}"},
            }
            address = f"10.1.{list(roles).index(role)}.{number}"
            servers[name] = {"role": role, "address": address, "hostKey": host_key(name), **more.get(role, {})}
            names |= {f"{name}.internal.ln": name} if role == "replica" else {}
    return config(servers=servers, names=names, readsFrom="replica5")


def roles_of(fleet: Fleet) -> Counter[str]:
    return Counter(server.role for server in fleet.servers)


def stack_of(fleet: Fleet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, instances: bool) -> Settings:
    """What pgleap makes of the stack that the lab's operator writes for a fleet."""
    monkeypatch.setattr(keys, "host_key", lambda _, server: host_key(server.name))
    balancer = LoadBalancer("http://127.0.0.1:1", BALANCER, fleet.drained)
    made = operator_stack.config(Place(tmp_path), balancer, fleet, instances=instances)
    given = {key.removeprefix("pgleap:"): value for key, value in made.items()}
    return Settings.from_config({**given, "phase": "prepare", "round": 1, "password": "x", "replicationPassword": "y"})


def test_the_example_stack_becomes_a_fleet_like_it() -> None:
    """A rehearsal of the lab's own fleet, believed to be of the real one, convinces nobody who looks."""
    made = shape.from_file(REPOSITORY / "Pulumi.prod.yaml")
    written = yaml.safe_load((REPOSITORY / "Pulumi.prod.yaml").read_text())["config"]
    servers = written["pgleap:servers"]
    assert {one.name: one.role for one in made.fleet.servers} == {name: one["role"] for name, one in servers.items()}
    assert {one.name: one.takes_over for one in made.fleet.new_replicas} == {"db-c": "db2", "db-d": "db3"}
    assert made.fleet.names == written["pgleap:names"]
    assert made.fleet.reads_from == written["pgleap:readsFrom"]
    assert made.fleet.limits == written["pgleap:limits"]
    worker = made.fleet.named("worker1")
    assert worker.tasks == ("celery.service", "celerybeat.service")
    assert any(line.startswith("reload is left out") for line in made.said)
    assert any("postgres is the lab's own" in line for line in made.said)


@pytest.mark.parametrize("instances", [True, False])
def test_the_stack_of_a_fleet_is_valid(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, instances: bool) -> None:
    """A mistake in it is found when everything has booted, minutes later."""
    for fleet in (
        ORDINARY,
        shape.from_file(REPOSITORY / "Pulumi.prod.yaml").fleet,
        shape.shaped(shape.settings(large())).fleet,
    ):
        settings = stack_of(fleet, monkeypatch, tmp_path, instances=instances)
        assert list(settings.servers) == [one.name for one in fleet.servers]
        assert settings.names_spread == fleet.spread()
        assert settings.reads_from.name == fleet.reads_from


def test_a_fleet_too_large_is_scaled_and_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Forty servers on one machine end in time-outs that look like pgleap's."""
    made = shape.shaped(shape.settings(large()))
    assert len(made.fleet.servers) == shape.MOST_SERVERS
    assert roles_of(made.fleet) == {
        "primary": 1, "target": 1, "replica": 3, "new-replica": 3, "online": 3, "drained": 7, "worker": 2,
    }  # fmt: skip
    (said,) = [line for line in made.said if "at most" in line]
    assert "44 servers are in the config" in said
    assert f"one machine boots {shape.MOST_SERVERS} at most" in said
    assert "drained 7 of 20" in said
    # The replica that is read from is there, and so is every name, and whoever takes over.
    assert "replica5" in {one.name for one in made.fleet.replicas}
    assert len(made.fleet.names) == 7
    assert set(made.fleet.names.values()) == {"db1", *(one.name for one in made.fleet.replicas)}
    assert {one.takes_over for one in made.fleet.new_replicas} == {one.name for one in made.fleet.replicas}


COUNTS = st.fixed_dictionaries(
    {
        Role.PRIMARY: st.just(1),
        Role.TARGET: st.just(1),
        Role.REPLICA: st.integers(1, 40),
        Role.NEW_REPLICA: st.integers(0, 40),
        Role.ONLINE: st.integers(1, 200),
        Role.DRAINED: st.integers(0, 200),
        Role.WORKER: st.integers(0, 50),
    }
)


@given(COUNTS, st.integers(7, 40))
def test_scaling_keeps_every_role_and_the_bound(counts: dict[Role, int], most: int) -> None:
    """A role that is scaled to nothing is not rehearsed at all."""
    found = shape.scaled(counts, most)
    total = sum(counts.values())
    assert sum(found.values()) == min(total, most)
    for role, count in counts.items():
        assert (found.get(role, 0) > 0) == (count > 0)
        assert found.get(role, 0) <= count
        # Whoever had as many has as many, but for one that is left over.
        assert all(found.get(role, 0) + 1 >= found.get(other, 0) for other in counts if count >= counts[other])


def test_versions_that_the_lab_has_not_are_refused() -> None:
    """A rehearsal of another version than the one that is meant proves the wrong thing."""
    with pytest.raises(
        LabError, match=r"Expected pgleap:versions \{old: 15, new: 17\}.*found \{old: 14, new: 16\}"
    ) as error:
        shape.shaped(shape.settings(config(versions={"old": 14, "new": 16})))
    assert "bookworm, trixie" in str(error.value)


def test_neither_secrets_nor_where_the_fleet_stands_are_needed() -> None:
    """Whoever may not read production's secrets must be able to rehearse."""
    raw = config(password={"secure": "v1:nobody"}, phase="cutover", round=7, acceptDataLoss=True)
    raw["servers"] = {**CONFIG["servers"], "db3": {**CONFIG["servers"]["db3"], "lost": True}}
    made = shape.shaped(shape.settings(raw))
    assert "db3" in {one.name for one in made.fleet.servers}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("config: [", "could not read it"),
        ("just words", "found no such key"),
        ("config: {other: 1}", "nothing"),
        (
            yaml.safe_dump({"config": {"pgleap:servers": {"db1": {"role": "prim"}}, "pgleap:readsFrom": "db9"}}),
            "pgleap:readsFrom",
        ),
    ],
)
def test_a_config_with_mistakes_is_refused_with_its_name(tmp_path: Path, text: str, words: str) -> None:
    """A traceback of a parser says nothing of which file, and what to do."""
    file = tmp_path / "Pulumi.mine.yaml"
    file.write_text(text)
    with pytest.raises(LabError, match=r"Pulumi\.mine\.yaml") as error:
        shape.from_file(file)
    assert words in str(error.value)
    with pytest.raises(LabError, match="could not read it"):
        shape.from_file(tmp_path / "missing.yaml")


def test_a_drill_has_three_servers_online() -> None:
    """At cutover two are taken away: with none left nobody would write, and the drill wait for it."""
    made = shape.for_drill(shape.Shape(ORDINARY))
    assert made.fleet.online == ("web1", "web2", "web3")
    assert list(made.fleet.drained) == ["web4"]
    assert "web3: online rather than drained" in made.said[0]
    assert shape.for_drill(made) == made
    few = Fleet(tuple(one for one in ORDINARY.servers if one.role != "drained"))
    with pytest.raises(LabError, match=r"online or drained.*found 2"):
        shape.for_drill(shape.Shape(few))


def test_a_fleet_is_opened_as_it_was_booted(tmp_path: Path) -> None:
    """The stand-in of EC2 and `lab-down` are other processes: with another fleet they would boot, and end, other servers."""
    made = shape.shaped(shape.settings(large())).fleet
    made.keep(tmp_path / "fleet.json")
    assert Fleet.kept(tmp_path / "fleet.json") == made
    assert Fleet.kept(tmp_path / "none.json") == ORDINARY


def test_tasks_are_services_in_the_lab_and_are_named_once() -> None:
    """A program that is written into a timer's unit never starts."""
    made = shape.shaped(shape.settings(large()))
    assert {one.tasks for one in made.fleet.with_role("worker")} == {("jobs.service",)}
    assert any("jobs.timer" in line for line in made.said)


def test_the_hosts_files_name_the_fleets_databases() -> None:
    """A name that is missing there is found by nobody, and every client fails from the beginning."""
    fleet = shape.from_file(REPOSITORY / "Pulumi.prod.yaml").fleet
    lines = hosts_file(fleet.named("web1"), fleet).splitlines()
    for name, owner in fleet.names.items():
        assert any(line.split()[:2] == [fleet.named(owner).address, name] for line in lines), name


@pytest.mark.parametrize("name", ["db1", "a-primary-of-the-shop-1", "a-primary-of-the-shop-2"])
def test_a_long_name_fits_an_interface_and_a_slot(name: str) -> None:
    """The kernel refuses an interface's name of 16 characters, PostgreSQL a slot's with a hyphen: in the midst of a boot."""
    server = Server(name, "primary", "10.77.0.11")
    assert len(network._cable(server)) <= 15
    assert set(slot(name)) <= set("abcdefghijklmnopqrstuvwxyz0123456789_")
    others = {network._cable(Server(other, "primary", "")) for other in ("db2", "a-primary-of-the-shop-3")}
    assert network._cable(server) not in others
