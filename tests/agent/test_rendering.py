"""Rule files, settings and secrets as the agent writes them. Pure."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import client_rules, configuration, credentials, pg_upgrade
from agent.cluster import from_desired
from agent.server import Server

HBA = "# comment\nlocal all postgres peer\nhost all all 10.0.0.0/8 scram-sha-256\n"
DEBIAN = {"version": 15, "layout": "debian", "cluster": "main", "port": 5432, "superuser": "postgres"}


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])), st.booleans())
def test_taking_the_rules_away_gives_back_the_very_bytes(rest: str, sealed: bool) -> None:
    """A pg_hba.conf that came back different locks somebody out after the night."""
    if rest.startswith(client_rules.BEGIN):
        return
    with_rules = client_rules.with_rules(rest, ["10.0.0.4"], sealed)
    assert client_rules.without_rules(with_rules) == rest
    assert client_rules.with_rules(with_rules, ["10.0.0.4"], sealed) == with_rules


def test_sealed_rules_stand_first_and_refuse_everybody_but_the_reader() -> None:
    """The first line that matches decides: a reject below the fleet's own rules would refuse nobody."""
    lines = client_rules.with_rules(HBA, ["10.0.0.4"], sealed=True).splitlines()
    rules = [line for line in lines if not line.startswith("#")]
    own = [
        "local all pgleap_root peer map=pgleap",
        "host replication pgleap 10.0.0.4/32 scram-sha-256",
        "host all pgleap 10.0.0.4/32 scram-sha-256",
        "host all pgleap,pgleap_root all reject",
        "local all pgleap reject",
    ]
    assert rules == [*own, "local all all reject", "host all all all reject", *HBA.splitlines()[1:]]


def test_until_the_seal_the_rules_name_none_but_pgleaps_own_roles() -> None:
    """A rule for the superuser would shut out the operating system's postgres, and with it the nightly backup."""
    lines = client_rules.split(client_rules.with_rules(HBA, ["10.0.0.4"], sealed=False))[0].splitlines()
    roles = {role for line in lines if not line.startswith("#") for role in line.split()[2].split(",")}
    assert roles == {"pgleap", "pgleap_root"}


def test_pg_upgrade_gets_into_a_sealed_target_and_nowhere_else() -> None:
    """pg_upgrade --check comes to the running standby as the operating system's postgres; on the old primary nobody may."""
    on_target = client_rules.with_rules(HBA, ["10.0.0.1"], sealed=True, upgrader="postgres").splitlines()
    assert on_target.index('local all "postgres" peer map=pgleap') < on_target.index("local all all reject")
    assert 'pgleap postgres "postgres"' in client_rules.with_identities("", upgrader="postgres")
    assert "postgres" not in client_rules.with_identities("")


def test_a_password_is_kept_as_postgresql_would() -> None:
    """A verifier that PostgreSQL computes otherwise would shut DB_A out."""
    # From RFC 7677's example, whose salt, iterations and password are given there.
    verifier = credentials.scram_verifier("pencil", base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ=="), 4096)
    assert verifier == (
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
    )
    assert credentials.verifies(verifier, "pencil")
    assert not credentials.verifies(verifier, "pen")
    assert not credentials.verifies("md5abc", "pencil")


def test_settings_are_sorted_by_where_they_came_from_and_ours_stay_behind() -> None:
    """archive_mode carried over would have DB_A write into production's archive."""
    rows = [
        {"name": "work_mem", "setting": "8MB", "by_alter_system": False},
        {"name": "max_connections", "setting": "200", "by_alter_system": True},
        {"name": "archive_mode", "setting": "on", "by_alter_system": False},
        {"name": "synchronous_standby_names", "setting": "*", "by_alter_system": True},
        {"name": "default_transaction_read_only", "setting": "on", "by_alter_system": True},
        {"name": "data_directory", "setting": "/x", "by_alter_system": False},
    ]
    carried = configuration.carry(rows, HBA, "")
    assert (carried.by_file, carried.by_alter_system) == ({"work_mem": "8MB"}, {"max_connections": "200"})
    known, dropped = configuration.split_known(carried, {"max_connections"})
    assert (known.by_alter_system, dropped) == ({}, {"max_connections": "200"})


def test_setting_values_are_quoted() -> None:
    """A quote in a value would end it there, and the server would not start in the window."""
    assert configuration.render("heading", {"a": "it's", "b": "back\\slash"}) == (
        "# heading\na = 'it''s'\nb = 'back\\\\slash'\n"
    )


def test_pg_upgrade_is_told_where_debian_keeps_its_configuration() -> None:
    """Without it pg_upgrade starts the old cluster with no settings, or with the sealed rules, and fails in the window."""
    old, new = from_desired(DEBIAN), from_desired({**DEBIAN, "version": 17})
    argv = pg_upgrade.command(Server(), old, new, "link", 2, check=True)
    assert "--link" in argv
    assert "--jobs=2" in argv
    assert argv[-1] == "--check"
    assert any("config_file=/etc/postgresql/15/main/postgresql.conf" in part for part in argv)
    assert all("hba_file=" in part for part in argv if part.startswith(("--old-options", "--new-options")))


@pytest.mark.parametrize(
    ("version", "kernel", "options"),
    [
        (17, (5, 8), ["--sync-method=syncfs"]),
        (18, (6, 1), ["--sync-method=syncfs"]),
        (17, (5, 4), []),
        (17, (4, 18), []),
        (16, (6, 1), []),
    ],
)
def test_the_new_cluster_is_synced_by_file_system_where_that_is_as_safe(
    version: int, kernel: tuple[int, int], options: list[str]
) -> None:
    """A pg_upgrade that does not know the option fails in the window; an older kernel does not tell it what was not written."""
    assert pg_upgrade.sync_method(version, kernel) == options


def test_the_kernel_is_read_whatever_stands_behind_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """A release candidate's name that is no number would end the window."""
    for release, version in (("5.10.0-28-amd64", (5, 10)), ("6.1-rc3", (6, 1)), ("4.18.0-553.el8_10.x86_64", (4, 18))):
        monkeypatch.setattr("os.uname", lambda release=release: type("Named", (), {"release": release}))
        assert Server().kernel() == version
