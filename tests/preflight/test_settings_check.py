"""What the new version's binary says to the fleet's settings, and pg_hba.conf."""

from __future__ import annotations

import pytest

from agent.check_names import CheckName
from agent.checks import settings_check
from agent.checks.sight import Sight
from agent.server import Server
from tests.preflight.databases import BINARIES, Database
from tests.preflight.places import program
from tests.preflight.standbys import set_to

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.skipif(len(BINARIES) < 2, reason="not two PostgreSQL versions at /usr/lib/postgresql/*/bin"),
]


def back(database: Database) -> None:
    set_to(database, ALL=None)


def test_settings_that_are_gone(database: Database) -> None:
    """A configuration put back by a tool with a setting of the old version keeps the new one from starting."""
    if database.bin.parent.name != "15":
        pytest.skip("of 15's settings that are gone in 17")
    assert database.found(CheckName.SETTINGS_GONE) == []
    set_to(database, vacuum_defer_cleanup_age="1000", trace_recovery_messages="notice", work_mem="8MB")
    try:
        found = database.found(CheckName.SETTINGS_GONE)
        assert sorted(found) == ["trace_recovery_messages (now 'notice')", "vacuum_defer_cleanup_age (now '1000')"]
        assert database.found(CheckName.SETTINGS_REFUSED) == []
    finally:
        back(database)


def test_what_the_new_binary_says(database: Database) -> None:
    """Its words are read by a pattern; another wording would pass for "takes everything"."""
    wrong = {
        "lc_messages": "xx_YY",
        "work_mem": "1kB",
        "wal_level": "some",
        "such_a_setting": "1",
        "max_connections": "12",
    }
    with Sight(database.desired(), Server()) as sight:
        said = settings_check._taken(sight, wrong)
    assert list(said) == ["work_mem", "wal_level", "such_a_setting", "lc_messages"]
    assert said["such_a_setting"] == 'unrecognized configuration parameter "such_a_setting"'


def test_values_that_are_taken(database: Database) -> None:
    """A check that refuses what PostgreSQL takes would be accepted by name, and with it what it is there for."""
    assert database.found(CheckName.SETTINGS_REFUSED) == []
    nowhere = {**database.desired()["newPostgres"], "bin": "/nowhere"}
    assert "not installed" in str(database.look(CheckName.SETTINGS_REFUSED, newPostgres=nowhere).unseen)
    set_to(
        database, wal_sync_method="open_sync", log_connections="yes", log_line_prefix="%m 'x' ", DateStyle="SQL, DMY"
    )
    try:
        assert database.found(CheckName.SETTINGS_REFUSED) == []
    finally:
        back(database)


def test_values_out_of_range(database: Database, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The binary ends at its first complaint; the ones after it must be told too."""
    folder = tmp_path_factory.mktemp("new")
    real = BINARIES[-1] / "postgres"
    # No value of 15 is out of range in 17; a binary that caps two settings stands in for a version that does.
    program(
        folder / "postgres",
        f'case "$*" in *work_mem=8MB*) echo \'FATAL:  8192 kB is outside the valid range for parameter "work_mem" (64 kB .. 100 kB)\' >&2; exit 1;;'
        f' *max_wal_size=2GB*) echo \'FATAL:  invalid value for parameter "max_wal_size": "2GB"\' >&2; exit 1;; esac\nexec {real} "$@"',
    )
    set_to(database, work_mem="8MB", max_wal_size="2GB")
    try:
        new = {**database.desired()["newPostgres"], "bin": str(folder)}
        assert database.found(CheckName.SETTINGS_REFUSED, newPostgres=new) == [
            '8192 kB is outside the valid range for parameter "work_mem" (64 kB .. 100 kB)',
            'invalid value for parameter "max_wal_size": "2GB"',
        ]
    finally:
        back(database)


def test_settings_that_changed(database: Database) -> None:
    """15's least maintenance_work_mem is 1 MB, 17's 64 kB; and a default that a fleet relied on is another one."""
    names = [database.bin.parent.name, BINARIES[-1].parent.name]
    if names != ["15", "17"]:
        pytest.skip("of what changed from 15 to 17")
    old, new = database.desired()["postgres"], database.desired()["newPostgres"]
    # Nothing else, such as a default of a setting that 15 did not have.
    assert database.found(CheckName.SETTINGS_CHANGED) == []
    set_to(database, maintenance_work_mem="128MB")
    try:
        (found,) = database.found(CheckName.SETTINGS_CHANGED)
        assert found.startswith("maintenance_work_mem, '128MB' here: integer from 1024 to")
    finally:
        back(database)
    earlier = database.found(CheckName.SETTINGS_CHANGED, postgres={**old, "version": 13}, newPostgres=new)
    assert "log_checkpoints is not set: its default off becomes on" in earlier
    set_to(database, log_checkpoints="off")
    try:
        now = database.found(CheckName.SETTINGS_CHANGED, postgres={**old, "version": 13}, newPostgres=new)
        assert not [line for line in now if line.startswith("log_checkpoints")]
    finally:
        back(database)


def test_passwords_and_rules(database: Database) -> None:
    """18 says of MD5 that it will go; clientcert=1 keeps 14 and later from starting, which no pg_upgrade --check tells."""
    assert database.found(CheckName.AUTHENTICATION) == []
    rules = database.data / "pg_hba.conf"
    before = rules.read_text()
    old = {**database.desired()["postgres"], "version": 13}
    database.sql(
        "SET password_encryption = 'md5'; CREATE ROLE aged LOGIN PASSWORD 'x'; CREATE ROLE fine LOGIN PASSWORD NULL;"
    )
    assert database.found(CheckName.AUTHENTICATION_RULES, postgres=old) == []
    rules.write_text(
        before + "host all all 10.0.0.0/8 trust\nhost all aged 10.0.0.0/8 password\n#hostssl a a a md5 clientcert=1\n"
        "hostssl all all all scram-sha-256 clientcert=1\n"
    )
    try:
        found = database.found(CheckName.AUTHENTICATION)
        assert [line.partition(": ")[2] for line in found[:2]] == [
            "trust for all to all from 10.0.0.0",
            "password for aged to all from 10.0.0.0",
        ]
        assert found[2:] == ["the password of aged is kept as MD5"]
        (rule,) = database.found(CheckName.AUTHENTICATION_RULES, postgres=old)
        assert rule == f"{rules}: hostssl all all all scram-sha-256 clientcert=1"
        assert database.found(CheckName.AUTHENTICATION_RULES) == []  # 15 would not run with it
    finally:
        rules.write_text(before)
        database.sql("DROP ROLE aged; DROP ROLE fine;")
    set_to(database, password_encryption="md5")
    try:
        (found_now,) = database.found(CheckName.AUTHENTICATION)
        assert found_now.startswith("password_encryption is md5")
    finally:
        back(database)
