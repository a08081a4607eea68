"""What only shows beside other servers: each check of the fleet, with a fault and without."""

from __future__ import annotations

import pytest

from agent.check_names import CheckName
from scripts.fleet_ssh import Answer
from scripts.preflight import fleet
from scripts.preflight.ask import OLD_PYTHON
from scripts.preflight.balancing import Balancing, Targets
from scripts.preflight.outcome import FleetCheck
from scripts.preflight.report import Status
from tests.preflight.answers import BEGAN, FakeFleet

UNREACHED = Answer(None, "", "it did not answer within 20 s")


@pytest.mark.parametrize("check", fleet.ALL, ids=lambda check: check.name.value)
def test_a_clean_fleet(check: FleetCheck) -> None:
    """A check that cries over every fleet is soon read by nobody. The note on capacity is none that cries."""
    row = FakeFleet().row(check.name.value)
    expected = {CheckName.ONLINE_CAPACITY: Status.NOTE, CheckName.TARGET_GROUPS: Status.NOT_CHECKED}
    assert row.status is expected.get(check.name, Status.OK), row


def test_a_server_that_is_not_reached() -> None:
    """It would be found in the window, by a step that waits for it."""
    fleet = FakeFleet()
    fleet.answers["web1"] = UNREACHED
    assert fleet.row("ssh").outcome.found == {"web1": ["it did not answer within 20 s"]}
    assert fleet.row("ssh").status is Status.REFUSE
    assert fleet.row("sudo").outcome.unseen == {"web1": "not reached: it did not answer within 20 s"}


def test_servers_that_need_not_be_there_yet() -> None:
    """The first preflight comes before the first `up`: what that makes must not be called broken."""
    fleet = FakeFleet()
    fleet.answers["db-c"] = UNREACHED
    row = fleet.row("ssh")
    assert (row.status, list(row.outcome.unseen)) == (Status.OK, ["db-c"])
    assert "need not be there in prepare" in row.outcome.unseen["db-c"]


@pytest.mark.parametrize(
    "error",
    ["sudo: a password is required", "sh: 1: sudo: not found", "Sorry, user deploy is not allowed to execute '/usr/bin/env'"],
)  # fmt: skip
def test_no_sudo(error: str) -> None:
    fleet = FakeFleet()
    fleet.answers["web1"] = Answer(1, "", f"{error}\n")
    assert fleet.row("sudo").outcome.found == {"web1": [error]}
    assert fleet.row("python").outcome.found == {}


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer(127, "", "/usr/bin/env: 'python3': No such file or directory\n"), "No such file"),
        (Answer(OLD_PYTHON, "", "Python 3.6.8"), "Python 3.6.8, and the agent needs 3.9"),
        (Answer(1, "", "Traceback\nModuleNotFoundError: No module named 'json'\n"), "No module named 'json'"),
    ],
)
def test_no_python(answer: Answer, words: str) -> None:
    fleet = FakeFleet()
    fleet.answers["web1"] = answer
    assert words in fleet.row("python").outcome.found["web1"][0]
    assert fleet.row("sudo").outcome.found == {}


def test_an_agent_that_fails_is_neither() -> None:
    """What is wrong is then said in its own words, beside the servers of which nothing is known."""
    fleet = FakeFleet()
    fleet.answers["web1"] = Answer(1, "", "Traceback\nOSError: out of memory\n")
    assert fleet.report().silent == {"web1": "exit status 1: OSError: out of memory"}
    assert fleet.row("sudo").status is fleet.row("python").status is Status.OK


@pytest.mark.parametrize(
    ("clock", "words"), [(BEGAN + 7, "at least 4.9 s ahead of"), (BEGAN - 3, "at least 4.7 s behind")]
)
def test_a_clock_that_is_off(clock: float, words: str) -> None:
    """Lag in seconds is one server's clock against another's."""
    fleet = FakeFleet()
    fleet.say("web1", clock=clock)
    assert fleet.row("clocks").outcome.found == {"web1": [f"its clock is {words} db1's"]}


def test_a_slow_round_trip_is_no_wrong_clock() -> None:
    """A minute of SSH before the command began says nothing of the clock."""
    fleet = FakeFleet()
    slow = fleet.answers["web1"]
    fleet.answers["web1"] = Answer(0, slow.output, "", slow.began - 60, slow.ended)
    assert fleet.row("clocks").status is Status.OK


def test_a_replica_of_another_cluster() -> None:
    fleet = FakeFleet()
    fleet.say("db3", systemIdentifier="7300000000000000002")
    assert list(fleet.row("system-identifier").outcome.found) == ["db3"]


def test_db_a_is_its_own_after_the_upgrade() -> None:
    fleet = FakeFleet(phase="cutover")
    fleet.say("db-a", systemIdentifier="7300000000000000002")
    assert fleet.row("system-identifier").status is Status.OK


def test_another_c_library_that_sorts_no_index() -> None:
    """A fleet in C, POSIX or ICU's collations was refused the newer system that it upgrades to."""
    fleet = FakeFleet()
    fleet.say("db-a", glibc="glibc 2.41")
    fleet.say("db1", sortedByCLibrary=0)
    row = fleet.row("c-library")
    assert row.outcome.found == {"db-a": ["glibc 2.41; db1 has glibc 2.36, by which no index there is sorted"]}
    assert row.status is Status.NOTE
    fleet.say("db1", sortedByCLibrary={"unseen": "permission denied"})
    assert fleet.row("c-library").status is Status.REFUSE


def test_another_c_library() -> None:
    """Rows are there, and look-ups by index do not find them: nobody notices for weeks."""
    fleet = FakeFleet()
    fleet.say("db-a", glibc="glibc 2.41")
    assert fleet.row("c-library").outcome.found == {"db-a": ["glibc 2.41; db1 has glibc 2.36"]}
    assert fleet.row("c-library").status is Status.REFUSE
    fleet.say("db-a", icu={"15": "76", "17": "76"})
    assert fleet.row("c-library").status is Status.WARN


def test_another_icu_of_the_new_version() -> None:
    """Packages of two versions of PostgreSQL may well differ in it, and only collations of ICU's go by it."""
    fleet = FakeFleet()
    fleet.say("db-a", icu={"15": "72", "17": "76"})
    row = fleet.row("c-library")
    assert (row.status, row.outcome.found) == (
        Status.NOTE,
        {"db-a": ["PostgreSQL 17 sorts by ICU 76; 15 on db1 by 72"]},
    )


def test_too_small_a_disk() -> None:
    """The base backup would fail after hours."""
    fleet = FakeFleet()
    fleet.say("db-a", freeBytes=11_000_000_000)
    assert fleet.row("disk-for-copy").outcome.found == {
        "db-a": ["11.0 GB free; the primary's data are 10.0 GB, so 12.0 GB are needed"]
    }
    fleet.say("db-a", freeInodes=500)
    assert fleet.row("disk-for-copy").outcome.found == {"db-a": ["500 inodes free"]}
    fleet.say("db-a", freeBytes=1, systemIdentifier="7300000000000000001")
    assert fleet.row("disk-for-copy").status is Status.OK, "its copy is there"


def test_facts_that_are_missing_are_not_checked() -> None:
    """No figure is no proof that there is room."""
    fleet = FakeFleet()
    fleet.say("db1", dataBytes={"unseen": "no such folder"}, systemIdentifier={"unseen": "psql: refused"})
    assert "no such folder" in fleet.row("disk-for-copy").outcome.unseen["db-a"]
    assert fleet.row("disk-for-copy").status is Status.NOT_CHECKED
    assert fleet.row("system-identifier").status is Status.NOT_CHECKED


@pytest.mark.parametrize(
    ("sessions", "status"),
    [
        # DB_B's room is 97. It gets 10 of web1 from each of the other two, and keeps 5 of web3.
        ({"10.77.0.21": 10, "10.77.0.23": 5}, Status.OK),
        ({"10.77.0.21": 55, "10.77.0.23": 5}, Status.WARN),
        ({"10.77.0.21": 75, "10.77.0.23": 5}, Status.REFUSE),
        ({"10.99.9.9": 60}, Status.WARN),
    ],
)
def test_room_for_everybodys_sessions(sessions: dict[str, int], status: Status) -> None:
    """DB_B refuses what is beyond its limit, and reads fail on the servers that were to be spared."""
    fleet = FakeFleet()
    fleet.say("db2", clientSessions=sessions)
    assert fleet.row("connections").status is status


def test_db_a_takes_all_of_them() -> None:
    fleet = FakeFleet()
    fleet.say("db1", maxConnections=50)
    assert fleet.row("connections").outcome.found == {
        "db-a": ["45 sessions of its clients just now, and room for 47 (max_connections 50, 3 reserved)"]
    }


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("Port 22\npgleap-files 1024\n", "MaxStartups is 10:30:100 by default, and 11 servers"),
        ("MaxStartups 5:30:60\nMaxStartups 100\npgleap-files 1024\n", "MaxStartups is 5:30:60, and"),
        ("MaxStartups 200\npgleap-files 16\n", "16 files open"),
    ],
)
def test_a_bastion_that_is_too_narrow(output: str, words: str) -> None:
    """It drops connections at random, when all steps begin at once."""
    fleet = FakeFleet()
    fleet.bastion = Answer(0, output, "")
    assert words in fleet.row("bastion").outcome.found["bastion"][0]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (None, "the stack has none"),
        (Answer(1, "This account is not available", ""), "it lets us run no command"),
        (Answer(None, "", "it did not answer within 10 s"), "it did not answer"),
    ],
)
def test_a_bastion_that_does_not_say(answer: Answer | None, words: str) -> None:
    fleet = FakeFleet()
    fleet.bastion = answer
    assert words in fleet.row("bastion").outcome.unseen["bastion"]
    assert fleet.row("bastion").status is Status.NOT_CHECKED


def test_a_bastion_whose_configuration_is_not_for_us() -> None:
    fleet = FakeFleet()
    fleet.bastion = Answer(0, "pgleap-files 1024\n", "")
    row = fleet.row("bastion")
    assert (row.status, list(row.outcome.unseen)) == (Status.OK, ["bastion"])


def test_who_stays_behind_the_load_balancer() -> None:
    fleet = FakeFleet()
    fleet.balancing = Balancing(groups={"web": Targets(healthy=3, leaving=1)})
    assert fleet.row("online-capacity").outcome.found["fleet"] == [
        "2 of 3 servers (web1, web2) stay while web3 is out",
        "web: 2 of 3 healthy targets stay while the drained are out",
    ]
