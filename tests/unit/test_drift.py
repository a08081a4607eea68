"""Drift: what the servers are, held against the phase. What is not named here is what an operator would not be told."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from components.desired import Desire
from components.settings import Role, Settings
from scripts.drift import Seen, drifts
from scripts.fleet_ssh import NOT_INSTALLED, Answer
from scripts.raw_config import raw_config
from scripts.status import read_answer, to_look_at
from scripts.status_table import statistics
from tests.unit.example_config import config

Fleet = dict[str, Any]
FENCE = {"xid": 800, "lsn": "0/4000000"}
SESSION = {"client": "10.77.0.21", "state": "idle", "sessions": 2}

# phase -> the old primary's and DB_A's authority, whether the gate is sealed, who runs on DB_A, where names lead.
PHASES = {
    "prepare": ("holds", "none", False, "15", None),
    "readonly": ("sealed", "none", True, "15", "db2"),
    "upgrade": ("sealed", "none", True, "17", "db2"),
    "cutover": ("released to DB_A", "holds", True, "17", "db-a"),
    "replicas": ("released to DB_A", "holds", True, "17", "db-a"),
    "retire": ("released to DB_A", "holds", True, "17", "db-a"),
}
SPREAD = {"db1.internal.ln": "10.77.0.14", "db2.internal.ln": "10.77.0.15", "db3.internal.ln": "10.77.0.16"}


def desire(phase: str) -> Desire:
    return Desire(Settings.from_config({**config(), "phase": phase}))


def cluster(version: str, *, standby: bool, sealed: bool) -> Fleet:
    return {
        "installed": True,
        "there": True,
        "running": True,
        "state": "in archive recovery" if standby else "in production",
        "gate": {"rules": "sealed" if sealed else "open", "fromHere": None if sealed else "no password", "rulesWritten": 10.0},
        "inside": {
            "version": f"{version}.4",
            "inRecovery": standby,
            "nextTransaction": 800,
            "readOnly": False,
            "rulesRead": 11.0,
            "receiver": {"status": "streaming", "from": "10.77.0.11"} if standby else None,
            "standbys": [],
            "sessions": [] if sealed else [SESSION],
        },
    }  # fmt: skip


def stopped(version: str) -> Fleet:
    return {"installed": True, "there": version == "15", "running": False, "state": "shut down"}


def fleet(phase: str) -> dict[str, Any]:
    """Facts of every server as the phase has them."""
    wanted = desire(phase)
    old, new, sealed, on_target, leads_to = PHASES[phase]
    journal = {"phase": phase, "round": 1, "finished": True, "epoch": 1, "fence": FENCE if old == "sealed" else None}
    target_open = new == "holds"
    facts: dict[str, Any] = {
        "db1": {"journal": {**journal, "authority": old}, "clusters": {"15": cluster("15", standby=False, sealed=sealed)}},
        "db-a": {
            "journal": {**journal, "authority": new, "fence": None},
            "target": {"underWay": False, "refused": None, "asked": "old-version standby", "said": None},
            "clusters": {
                "15": stopped("15"),
                "17": stopped("17"),
                on_target: cluster(on_target, standby=on_target == "15", sealed=not target_open),
            },
        },
    }  # fmt: skip
    for server in wanted.settings.replicas:
        facts[server.name] = {"journal": None, "clusters": {"15": cluster("15", standby=True, sealed=False)}}
    for server in wanted.settings.new_replicas if wanted.parts.new_replicas else ():
        streams = cluster("17", standby=True, sealed=False)
        streams["inside"]["receiver"]["from"] = "10.77.0.14"
        facts[server.name] = {"journal": None, "clusters": {"17": streams}}
    if not wanted.parts.old_servers_run:
        for server in wanted.settings.old_databases:
            facts[server.name]["clusters"] = {"15": stopped("15")}
    for server in wanted.settings.hosts_servers:
        moved = leads_to == "db-a" or (leads_to is not None and server.role is Role.ONLINE)
        before = wanted.settings.names_before
        names = {
            name: [wanted.settings.servers[leads_to].address if moved and leads_to else before[name]] for name in before
        }
        if wanted.parts.new_replicas:
            names = {name: [address] for name, address in SPREAD.items()}
        tasks = {}
        for unit, state in wanted.tasks(server)["tasks"].items():
            at_rest = state == "stopped"
            tasks[unit] = {
                "loaded": "loaded", "active": "inactive" if at_rest else "active", "type": "simple", "held": at_rest
            }  # fmt: skip
        facts[server.name] = {"names": names, "tasks": tasks}
    return facts


def found(phase: str, facts: dict[str, Any]) -> list[str]:
    seen = {name: one if isinstance(one, Seen) else Seen(one) for name, one in facts.items()}
    return drifts(desire(phase), seen)


@pytest.mark.parametrize("phase", PHASES)
def test_a_fleet_as_the_phase_has_it_shows_none(phase: str) -> None:
    """A status that cries wolf is read by nobody."""
    assert found(phase, fleet(phase)) == []


def changed(phase: str, server: str, path: str, value: Any) -> list[str]:
    """What is found after one fact of the fleet was changed; `path` has slashes."""
    facts = copy.deepcopy(fleet(phase))
    at = facts[server]
    *folders, last = path.split("/")
    for folder in folders:
        at = at[folder]
    at[last] = value
    return found(phase, facts)


def test_an_old_primary_that_db_a_opened_without_is_told_what_it_is() -> None:
    """To raise the round, as for other drift, is refused for ever."""
    (first, *_) = changed("cutover", "db-a", "journal/alone", True)
    assert "db1: db-a opened without it" in first
    assert "servers.db1.lost true && pulumi config set phase cutover && pulumi config set round 2 && pulumi up" in first


@pytest.mark.parametrize("phase", ["upgrade", "cutover", "replicas"])
def test_nobody_is_expected_to_stream_from_a_lost_primary(phase: str) -> None:
    """Seen on the lab: with db1 lost its replicas were called a difference for ever, which no command repairs."""
    raw = {**config(), "phase": phase}
    raw["servers"] = {**raw["servers"], "db1": {**raw["servers"]["db1"], "lost": True}}
    lost = Desire(Settings.from_config(raw))
    facts = fleet(phase)
    for server in lost.settings.replicas:
        facts[server.name]["clusters"]["15"]["inside"]["receiver"] = None
    assert drifts(lost, {name: Seen(one) for name, one in facts.items()}) == []


NOT_SEEN = {"not seen": "why"}
OPEN_GATE = {"rules": "open", "fromHere": "no password", "rulesWritten": 10.0}


@pytest.mark.parametrize(
    ("phase", "server", "path", "value", "said"),
    [
        ("readonly", "web1", "names/db1.internal.ln", ["10.77.0.11"], "db1.internal.ln leads to db1 (10.77.0.11); readonly has it lead to db2"),
        ("cutover", "web3", "names/db2.internal.ln", [], "db2.internal.ln leads to nowhere"),
        ("cutover", "web1", "names/db1.internal.ln", ["10.77.0.14", "10.77.0.11"], "leads to db-a (10.77.0.14) and db1"),
        ("prepare", "web1", "names/db1.internal.ln", NOT_SEEN, "cannot be seen: why"),
        ("readonly", "worker1", "tasks/celery.service/active", "active", "celery.service is active, though readonly has it stopped"),
        ("readonly", "worker1", "tasks/celery.service/held", False, "not held"),
        ("cutover", "worker1", "tasks/celery.service/held", True, "held by pgleap"),
        ("cutover", "worker1", "tasks/celery.service/active", "failed", "systemctl start celery.service"),
        ("cutover", "worker1", "tasks/celery.service/loaded", "not-found", "there is no unit"),
        ("readonly", "db1", "clusters/15/gate", OPEN_GATE, "ITS CLIENT GATE IS OPEN"),
        ("readonly", "db1", "clusters/15/gate/fromHere", "let in", "is not refused by them: let in"),
        ("cutover", "db1", "clusters/15/gate", OPEN_GATE, "ITS CLIENT GATE IS OPEN"),
        ("prepare", "db1", "clusters/15/gate/rules", "sealed", "sealed, though prepare has it open"),
        ("prepare", "db1", "clusters/15/gate/rulesWritten", 12.0, "changed after PostgreSQL last read it"),
        ("prepare", "db1", "clusters/15/gate", NOT_SEEN, "gate cannot be seen"),
        ("prepare", "db1", "clusters/15/inside/readOnly", True, "read-only"),
        ("prepare", "db1", "clusters/15/inside", NOT_SEEN, "lets pgleap not in: why"),
        ("prepare", "db1", "clusters/15/inside/inRecovery", True, "in recovery"),
        ("prepare", "db1", "clusters/15/running", False, "PostgreSQL 15 does not run (in production)"),
        ("prepare", "db1", "clusters/15", {"running": False, "state": NOT_SEEN}, "does not run (its state cannot be seen: why)"),
        ("prepare", "db1", "clusters/15/running", NOT_SEEN, "whether PostgreSQL 15 runs cannot be seen: why"),
        ("prepare", "db-a", "clusters/15", {"running": False}, "does not run (there is no cluster)"),
        ("prepare", "db1", "clusters/15/inside/version", "14.2", "runs PostgreSQL 14, not 15"),
        ("readonly", "db1", "clusters/15/inside/sessions", [SESSION], "2 from web1 (10.77.0.21)"),
        ("readonly", "db1", "clusters/15/inside/sessions", [{**SESSION, "client": "socket"}], "2 from socket"),
        ("readonly", "db1", "clusters/15/inside/nextTransaction", 801, "next transaction id is 801, at the fence it was 800"),
        ("readonly", "db1", "journal/authority", "holds", "says of the authority to write: holds; in readonly it says: sealed"),
        ("readonly", "db1", "journal/round", 2, "readonly in round 2, the stack readonly in round 1"),
        ("readonly", "db1", "journal/finished", False, "readonly in round 1 is not finished"),
        ("readonly", "db1", "journal", None, "no journal"),
        ("readonly", "db1", "journal", NOT_SEEN, "its journal cannot be read: why"),
        ("readonly", "db-a", "clusters/15/inside/receiver", None, "does not stream (no WAL receiver)"),
        ("readonly", "db-a", "clusters/15/inside/receiver/from", "10.77.0.12", "streams from 10.77.0.12, not from db1"),
        ("readonly", "db-a", "clusters/15/inside/inRecovery", False, "left recovery"),
        ("prepare", "db-a", "clusters/17/running", True, "PostgreSQL 17 runs, though prepare has it stopped"),
        ("prepare", "db-a", "clusters/15/installed", False, "PostgreSQL 15 is not installed"),
        ("upgrade", "db-a", "clusters/17/inside/inRecovery", True, "in recovery"),
        ("upgrade", "db-a", "clusters/17/gate", OPEN_GATE, "ITS CLIENT GATE IS OPEN"),
        ("cutover", "db-a", "clusters/17/gate/rules", "sealed", "sealed, though cutover has it open"),
        ("prepare", "db-a", "target", {"underWay": True, "asked": "old-version standby", "said": "42 %"}, "at work (old-version standby): 42 %"),
        ("prepare", "db-a", "target", {"underWay": False, "asked": "old-version standby", "refused": "a full disk"}, "refused: a full disk"),
        ("cutover", "db2", "clusters/15/inside/receiver", {"status": "waiting"}, "does not stream (waiting)"),
        ("cutover", "db2", "clusters/15/running", False, "does not run"),
    ],
)  # fmt: skip
def test_each_difference_is_named(phase: str, server: str, path: str, value: Any, said: str) -> None:
    """Each of these, unnamed, is a server of which an operator believes the opposite."""
    sentences = changed(phase, server, path, value)
    assert [one for one in sentences if one.startswith(f"{server}: ") and said in one], sentences


@pytest.mark.parametrize(
    ("phase", "server", "path", "value"),
    [
        ("readonly", "db-a", "clusters/15/inside/sessions", [{**SESSION, "client": "socket"}]),
        ("cutover", "db1", "clusters/15/inside/nextTransaction", 900),
        ("cutover", "worker1", "tasks/celery.service", {"loaded": "loaded", "active": "inactive", "type": "oneshot", "held": False}),
        ("prepare", "web1", "names/db1.internal.ln", ["fe80::1", "10.77.0.11"]),
        ("cutover", "db3", "clusters/15/inside/receiver/from", "10.77.0.12"),
    ],
)  # fmt: skip
def test_what_is_no_drift_is_not_called_one(phase: str, server: str, path: str, value: Any) -> None:
    """pg_upgrade's own sessions, a timer's job at rest, a cascading replica: repairing these would break them."""
    assert changed(phase, server, path, value) == []


def test_two_databases_that_take_writes_come_first_and_loud() -> None:
    """Nothing else on the page matters while writes are being split."""
    facts = fleet("cutover")
    facts["db1"]["clusters"]["15"] = cluster("15", standby=False, sealed=False)
    facts["db1"]["journal"]["authority"] = "holds"
    sentences = found("cutover", facts)
    assert sentences[0].startswith("TWO DATABASES TAKE WRITES: db1 (PostgreSQL 15) and db-a (PostgreSQL 17)")
    assert sentences[1].startswith("TWO JOURNALS HOLD THE AUTHORITY: db1 and db-a")


@pytest.mark.parametrize("logged_in", [True, False])
def test_an_old_replica_out_of_recovery_is_loud(logged_in: bool) -> None:
    """A cluster manager that promotes one while the primary is sealed makes a second database that takes writes."""
    facts = fleet("prepare")
    promoted = cluster("15", standby=False, sealed=False)
    if not logged_in:
        promoted["inside"] = NOT_SEEN
    facts["db3"]["clusters"]["15"] = promoted
    sentences = found("prepare", facts)
    assert sentences[0].startswith("TWO DATABASES TAKE WRITES: db1 (PostgreSQL 15) and db3 (PostgreSQL 15)")
    assert any(one.startswith("db3: OUT OF RECOVERY") for one in sentences)


def test_a_server_without_facts_is_a_drift() -> None:
    """Exit status 0 must not mean "nobody answered"."""
    nobody = {
        name: Seen(None, "not reached: it did not answer within 10 s") for name in desire("cutover").settings.servers
    }
    assert found("cutover", nobody) == [f"{name}: not reached: it did not answer within 10 s" for name in nobody]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (Answer(None, "", "Connect call failed"), "not reached: Connect call failed"),
        (Answer(NOT_INSTALLED, "", ""), "pgleap is not on this server yet"),
        (Answer(1, "", "Traceback\nValueError: 'observe' is not a valid Verb\n"), "older than this checkout"),
        (Answer(1, "", "sudo: a password is required\n"), "the agent ended with 1: sudo: a password is required"),
        (Answer(0, "Welcome!", ""), "cannot be understood: 'Welcome!'"),
    ],
)
def test_an_answer_that_holds_no_facts_says_why(answer: Answer, why: str) -> None:
    """A traceback in place of a row hides the other nine servers."""
    seen = read_answer(answer)
    assert seen.facts is None
    assert why in seen.why


def test_each_server_is_asked_for_what_matters_on_it() -> None:
    """What is not asked for is not observed, and shows as neither right nor wrong."""
    wanted = desire("cutover")
    asked = {name: to_look_at(wanted, server) for name, server in wanted.settings.servers.items()}
    assert [one["version"] for one in asked["db-a"]["clusters"]] == [15, 17]
    assert [one["version"] for one in asked["db2"]["clusters"]] == [15]
    assert asked["worker1"]["tasks"] == ["celery.service"]
    assert asked["web1"]["names"] == ["db1.internal.ln", "db2.internal.ln", "db3.internal.ln"]


def test_the_config_is_read_as_pulumi_lists_it() -> None:
    """A secret comes without its value; without this the settings would call the password missing."""
    listed: dict[str, Any] = {
        f"pgleap:{key}": {"value": value} if isinstance(value, str) else {"value": json.dumps(value), "objectValue": value}
        for key, value in config().items()
    }  # fmt: skip
    listed["pgleap:password"] = {"secret": True}
    listed["aws:region"] = {"value": "eu-west-1"}
    assert Settings.from_config(raw_config(listed)) == Settings.from_config(config())


WITHOUT = {
    "app": {"tables": 7, "largest": ["public.a", "public.b"]},
    "zeta": {"tables": 1, "largest": ["public.z"]},
}
TOLD = "app: 7 tables, public.a, public.b and 5 more; zeta: 1 table, public.z"


@pytest.mark.parametrize(
    ("phase", "state", "without", "said"),
    [
        (
            "cutover", "failed", WITHOUT,
            f"db-a: tables that could not be analyzed have no statistics ({TOLD}): journalctl -u pgleap-statistics there says why of each",
        ),
        ("replicas", "owed", WITHOUT, "db-a: its statistics are not whole, and nobody gathers them: what did was ended"),
        ("cutover", "running", WITHOUT, None),
        ("upgrade", "owed", WITHOUT, None),
    ],
)  # fmt: skip
def test_statistics_that_nobody_gathers(phase: str, state: str, without: dict[str, Any], said: str | None) -> None:
    """Databases without any answered as if they were down, and nothing but one unit's journal said so."""
    assert changed(phase, "db-a", "statistics", {"state": state, "without": without}) == ([said] if said else [])
    assert changed(phase, "db-a", "statistics", None) == []
    assert changed(phase, "db-a", "statistics", NOT_SEEN) == []


def test_status_shows_what_has_none_yet() -> None:
    """While they are gathered it is no drift, and the first hour's slow queries are explained by it all the same."""
    facts = {"db-a": Seen({"statistics": {"state": "running", "without": WITHOUT}}), "db1": Seen({"statistics": None})}
    assert list(statistics({**facts, "web1": Seen({}), "db2": Seen(None, "gone")})) == [
        "Statistics on db-a: being gathered; none yet: " + TOLD
    ]
