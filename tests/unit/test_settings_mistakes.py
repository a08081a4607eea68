"""Settings: every mistake is reported, all at once, with its config path, and says what to give."""

from __future__ import annotations

from typing import Any

import pytest

from components.config_errors import SettingsError
from components.settings import Settings
from tests.unit.example_config import config, host_key

REMOVED = object()

# (where, what stands there instead, the line that must be reported: its path, and what it must say)
CASES: list[tuple[str, Any, str, str]] = [
    (
        "phase",
        "readonyl",
        "pgleap:phase",
        'prepare, readonly, upgrade, cutover, replicas, retire; did you mean "readonly"?',
    ),
    ("phase", REMOVED, "pgleap:phase", "missing; give one of prepare, readonly"),
    ("phase", "", "pgleap:phase", "missing; give one of"),
    ("round", REMOVED, "pgleap:round", "missing; give a whole number from 1 on"),
    ("round", "0", "pgleap:round", '"0" is too small; give a whole number from 1 on'),
    ("round", "one", "pgleap:round", '"one" is not a whole number'),
    ("round", "1.5", "pgleap:round", '"1.5" is not a whole number'),
    ("password", REMOVED, "pgleap:password", "missing; type `pulumi config set --secret password`"),
    ("password", "", "pgleap:password", "missing"),
    (
        "replicationPassword",
        REMOVED,
        "pgleap:replicationPassword",
        "missing; type `pulumi config set --secret replicationPassword`",
    ),
    (
        "servers.db-c.takesOver",
        "db1",
        "pgleap:servers.db-c.takesOver",
        '"db1" is no server with the role replica; give one (db2, db3)',
    ),
    ("servers.db-d.takesOver", "db2", "pgleap:servers.db-d.takesOver", 'db-c takes the names of "db2" over already'),
    (
        "servers.db2.takesOver",
        "db3",
        "pgleap:servers.db2.takesOver",
        "db2 has the role replica; only new-replica can have it",
    ),
    ("servers", "db1", "pgleap:servers", '"db1" is not a map'),
    ("servers", REMOVED, "pgleap:servers", "missing; give every server"),
    ("servers.db2", "10.77.0.12", "pgleap:servers.db2", "is not a map"),
    ("servers.db2.address", "10.0.0", "pgleap:servers.db2.address", '"10.0.0" is not an IP address; give the private'),
    ("servers.db2.address", REMOVED, "pgleap:servers.db2.address", "missing; give the private address"),
    ("servers.db2.address", "127.0.0.1", "pgleap:servers.db2.address", "no address that other servers can reach"),
    ("servers.db2.address", "10.77.0.11", "pgleap:servers.db2.address", "is db1's address too"),
    ("servers.db2.address", "::ffff:10.77.0.11", "pgleap:servers.db2.address", "is db1's address too"),
    ("servers.db2.address", "::FFFF:A4D:B", "pgleap:servers.db2.address", "is db1's address too"),
    ("servers.db2.address", "::10.77.0.11", "pgleap:servers.db2.address", "is db1's address too"),
    ("servers.db2.address", "0:0:0:0:0:ffff:10.77.0.99", "pgleap:servers.db2.address", "give 10.77.0.99"),
    ("servers.db2.address", "010.77.0.99", "pgleap:servers.db2.address", "is not an IP address"),
    ("servers.db2.role", "primary", "pgleap:servers", "db1, db2 all have the role primary"),
    ("servers.db1.role", "replica", "pgleap:servers", "no server has the role primary"),
    ("servers.db3.role", "target", "pgleap:servers", "db3, db-a all have the role target"),
    ("servers.db-a", REMOVED, "pgleap:servers", "no server has the role target"),
    ("servers.db2.role", "standby", "pgleap:servers.db2.role", '"standby" is not one of primary, replica, target'),
    ("servers.db2.role", "Replica", "pgleap:servers.db2.role", 'did you mean "replica"?'),
    ("servers.db2.name", "other", "pgleap:servers.db2.name", "unknown key; the server's name is db2"),
    ("servers.db2.adress", "10.1.1.1", "pgleap:servers.db2.adress", 'unknown key; did you mean "address"?'),
    ("servers.DB_9", {"role": "drained", "address": "10.77.0.99", "hostKey": host_key("x")}, "pgleap:servers.DB_9", ""),
    ("servers.web1.reload", "true\nrm -rf /", "pgleap:servers.web1.reload", "control characters"),
    ("servers.web1.reload", " ", "pgleap:servers.web1.reload", "is empty"),
    ("servers.db2.reload", "true", "pgleap:servers.db2.reload", "only online, drained, worker can have it"),
    ("servers.web1.tasks", ["celery.service"], "pgleap:servers.web1.tasks", "only worker can have it"),
    ("servers.web1.keepUntil", "upgrade", "pgleap:servers.web1.keepUntil", "only worker can have it"),
    ("servers.worker1.tasks", REMOVED, "pgleap:servers.worker1.tasks", "missing; give a worker's systemd units"),
    ("servers.worker1.tasks", [], "pgleap:servers.worker1.tasks", "missing; give a worker's systemd units"),
    ("servers.worker1.tasks", "celery.service", "pgleap:servers.worker1.tasks", "write it as a list, [celery.service]"),
    ("servers.worker1.tasks", ["celery"], "pgleap:servers.worker1.tasks[0]", '"celery" is not a systemd unit'),
    ("servers.worker1.tasks", ["a b.service"], "pgleap:servers.worker1.tasks[0]", "is not a systemd unit"),
    ("servers.worker1.tasks", ["a\n.service"], "pgleap:servers.worker1.tasks[0]", "is not a systemd unit"),
    ("servers.worker1.tasks", ["celery@.service"], "pgleap:servers.worker1.tasks[0]", "celery@1.service"),
    ("servers.worker1.tasks", ["*.service"], "pgleap:servers.worker1.tasks[0]", "is not a systemd unit"),
    ("servers.worker1.tasks", ["a.service", "a.service"], "pgleap:servers.worker1.tasks", "the same unit twice"),
    ("servers.worker2.keepUntil", "cutover", "pgleap:servers.worker2.keepUntil", '"cutover" is not upgrade'),
    ("servers.db2.hostKey", REMOVED, "pgleap:servers.db2.hostKey", "acceptUnknownHostKeys: true"),
    ("servers.db2.hostKey", "AAAAC3NzaC1lZDI1NTE5", "pgleap:servers.db2.hostKey", "is not a host key"),
    ("servers.db2.hostKey", "ssh-dss AAAA", "pgleap:servers.db2.hostKey", "is not a host key"),
    ("servers.db2.hostKey", host_key("db2")[:-8], "pgleap:servers.db2.hostKey", "cut short"),
    ("servers.db2.hostKey", "ssh-ed25519 ????", "pgleap:servers.db2.hostKey", "cut short or altered"),
    (
        "servers.db2.hostKey",
        host_key("x").replace("ssh-ed25519", "ecdsa-sha2-nistp256"),
        "pgleap:servers.db2.hostKey",
        "other type",
    ),
    ("servers.web1.hostKey", host_key("x", "ssh-rsa"), "pgleap:servers.web1.hostKey", "ecdsa-sha2-nistp256"),
    ("servers.web1.hostKey", "ssh-rsa AAAA", "pgleap:servers.web1.hostKey", "ssh-keyscan -t ed25519"),
    ("ssh.bastion.hostKey", host_key("x", "ssh-rsa"), "pgleap:ssh.bastion.hostKey", "sudo ssh-keygen -A"),
    ("servers.online", {"role": "online", "address": "10.77.0.99"}, "pgleap:servers.online", "a group of servers has"),
    ("readsFrom", REMOVED, "pgleap:readsFrom", "missing; give DB_B"),
    ("readsFrom", "db9", "pgleap:readsFrom", 'there is no server "db9"; give a replica (db2, db3)'),
    ("readsFrom", "db1", "pgleap:readsFrom", "db1 has the role primary; DB_B must be a replica (db2, db3)"),
    ("names", REMOVED, "pgleap:names", "missing; give every database name"),
    ("names.db1~internal~ln", "db7", 'pgleap:names["db1.internal.ln"]', 'there is no server "db7"'),
    ("names.db3~internal~ln", "web1", 'pgleap:names["db3.internal.ln"]', "web1 has the role online"),
    ("names.db1~internal~ln", "db2", "pgleap:names", "no name leads to db1, the primary"),
    ("names.DB1~internal~ln", "db1", 'pgleap:names["DB1.internal.ln"]', "the same name as db1.internal.ln"),
    ("names.db_1", "db1", "pgleap:names.db_1", '"db_1" is not a host name'),
    ("names.10~77~0~11", "db1", 'pgleap:names["10.77.0.11"]', "is not a host name"),
    ("names.db4~ #", "db1", 'pgleap:names["db4. #"]', "is not a host name"),
    ("names.localhost", "db1", "pgleap:names.localhost", "names the server itself"),
    ("versions.new", 15, "pgleap:versions.new", "15 does not rise above 15"),
    ("versions.old", 12, "pgleap:versions.old", "12 is older than 13"),
    ("versions.new", 19, "pgleap:versions.new", "19 is newer than 18"),
    ("versions.new", REMOVED, "pgleap:versions.new", "missing; give the major version"),
    ("versions.old", "15.4", "pgleap:versions.old", "is not a whole number"),
    ("versions", "15", "pgleap:versions", "is not a map"),
    ("ssh", REMOVED, "pgleap:ssh", "missing; give how to reach"),
    ("ssh.user", REMOVED, "pgleap:ssh.user", "missing; give the user"),
    ("ssh.user", "de ploy", "pgleap:ssh.user", "is not a plain name"),
    ("ssh.user", "-oProxyCommand=x", "pgleap:ssh.user", "is not a plain name"),
    ("ssh.port", 70000, "pgleap:ssh.port", "70000 is not a port"),
    ("ssh.port", True, "pgleap:ssh.port", "true is not a whole number"),
    ("ssh.privateKeyFile", " ", "pgleap:ssh.privateKeyFile", "is empty"),
    ("ssh.privateKey", "-----BEGIN SECRET", "pgleap:ssh.privateKey", 'did you mean "privateKeyFile"?'),
    ("ssh.bastion.address", REMOVED, "pgleap:ssh.bastion.address", "missing; give the bastion's host name or address"),
    ("ssh.bastion.address", "no such host", "pgleap:ssh.bastion.address", "is not a host name"),
    ("ssh.bastion.hostKey", REMOVED, "pgleap:ssh.bastion.hostKey", "missing"),
    ("ssh.bastion.usr", "x", "pgleap:ssh.bastion.usr", 'unknown key; did you mean "user"?'),
    ("acceptUnknownHostKeys", "perhaps", "pgleap:acceptUnknownHostKeys", '"perhaps" is not true or false'),
    ("postgres.transferMode", "hardlink", "pgleap:postgres.transferMode", "is not one of link, clone, copy"),
    ("postgres.layout", "arch", "pgleap:postgres.layout", '"arch" is not one of debian, rhel'),
    ("postgres.jobs", 0, "pgleap:postgres.jobs", "0 is too small"),
    ("postgres.jobs", True, "pgleap:postgres.jobs", "true is not a whole number"),
    ("postgres.new", {"data": "srv/17"}, "pgleap:postgres.new.data", "is not an absolute path"),
    ("postgres", {"old": {"data": "/d"}, "new": {"data": "/d"}}, "pgleap:postgres.new.data", "the same data"),
    ("postgres.new", {"unit": "postgres"}, "pgleap:postgres.new.unit", "is not a systemd unit"),
    ("limits.lagBytes", -1, "pgleap:limits.lagBytes", "-1 is too small"),
    ("limits.graceSeconds", -1, "pgleap:limits.graceSeconds", "-1 is too small; give a whole number from 0 on"),
    ("limits.gracesecond", 1, "pgleap:limits.gracesecond", 'did you mean "graceSeconds"?'),
    ("readFrom", "db2", "pgleap:readFrom", 'unknown key; did you mean "readsFrom"?'),
    ("zzz", "db2", "pgleap:zzz", "unknown key; the keys here are phase, round"),
]


def altered(where: str, value: Any) -> dict[str, Any]:
    """The good config with one value replaced; `~` stands for a dot within a key."""
    given = config()
    *parents, last = (part.replace("~", ".") for part in where.split("."))
    here = given
    for parent in parents:
        here = here.setdefault(parent, {})
    if value is REMOVED:
        del here[last]
    else:
        here[last] = value
    return given


def mistakes(given: dict[str, Any]) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as refused:
        Settings.from_config(given)
    return refused.value.mistakes


@pytest.mark.parametrize(("where", "value", "path", "says"), CASES)
def test_each_mistake_is_reported_where_it_is_with_what_to_do(where: str, value: Any, path: str, says: str) -> None:
    """A mistake that passes reaches the servers; one that is reported elsewhere, or in pydantic's words, cannot be mended."""
    found = mistakes(altered(where, value))
    assert any(line.startswith(f"{path}: ") and says in line for line in found), found
    assert "pydantic" not in " ".join(found)


@pytest.mark.parametrize("again", ["2001:DB8::1", "2001:0db8::0001", "2001:db8:0:0:0:0:0:1", "2001:db8::0.0.0.1"])
def test_one_address_in_two_spellings_is_one(again: str) -> None:
    """Two servers at one address: one of them is never moved, and the other twice."""
    given = altered("servers.db3.address", "2001:db8::1")
    given["servers"]["web1"]["address"] = again
    assert any("web1.address" in found and "is db3's address too" in found for found in mistakes(given))


def test_every_mistake_is_reported_at_once() -> None:
    """One mistake a run makes a person mend, run, mend, run; and hides two primaries behind a typing mistake."""
    given = config()
    given["phase"] = "go"
    given["servers"]["db2"]["role"] = "primary"
    given["servers"]["db3"]["address"] = "10.0.0"
    given["servers"]["web1"]["address"] = "10.77.0.22"
    given["names"]["db9.internal.ln"] = "db9"
    given["versions"] = {"old": 17, "new": 15}
    del given["password"]
    paths = [line.partition(": ")[0] for line in mistakes(given)]
    assert sorted(paths) == sorted(
        [
            "pgleap:phase",
            "pgleap:servers",
            "pgleap:readsFrom",
            "pgleap:servers.db3.address",
            "pgleap:servers.db-c.takesOver",
            "pgleap:servers.web2.address",
            'pgleap:names["db9.internal.ln"]',
            "pgleap:versions.new",
            "pgleap:password",
        ]
    )


def test_no_online_server_is_a_mistake() -> None:
    """With nobody behind the load balancer the window would be a full outage, and look like success."""
    given = config()
    del given["servers"]["web1"], given["servers"]["web2"]
    assert any("no server has the role online" in line for line in mistakes(given))


def test_no_replica_is_a_mistake() -> None:
    """Without a replica there is nothing to read from while writes are refused."""
    given = config()
    del given["servers"]["db2"], given["servers"]["db3"]
    assert any("no server has the role replica" in line for line in mistakes(given))


def test_a_bad_value_does_not_make_other_checks_lie() -> None:
    """One mistyped address must not make the replica it belongs to unknown elsewhere: the list would send people astray."""
    assert [line.partition(": ")[0] for line in mistakes(altered("servers.db2.address", "10.0.0"))] == [
        "pgleap:servers.db2.address"
    ]


def test_an_empty_config_says_what_to_type_first() -> None:
    """A list of ten missing keys helps nobody who has just made a stack."""
    with pytest.raises(SettingsError, match="pulumi config set phase prepare") as refused:
        Settings.from_config(
            {"phase": "", "servers": {}, "acceptUnknownHostKeys": "false", "limits": {"lagSeconds": 10}}
        )
    assert "pulumi config set --secret password" in str(refused.value)


@pytest.mark.parametrize("key", ["password", "pasword"])
def test_a_secret_is_in_no_message(key: str) -> None:
    """A mistyped key must not print the password that stands behind it into a log."""
    given = {**config(), "phase": "go", "password": "correct horse", key: "correct horse"}
    with pytest.raises(SettingsError) as refused:
        Settings.from_config(given)
    assert "correct horse" not in str(refused.value) + repr(refused.value)
