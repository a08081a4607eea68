"""Settings: what a good stack config becomes."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from agent.states import Phase
from components.settings import Layout, Settings
from tests.unit.example_config import config, host_key


def test_a_good_config_says_who_is_who_in_its_own_order() -> None:
    """A server under a wrong noun would be told the wrong thing in every phase."""
    settings = Settings.from_config(config())
    assert (settings.phase, settings.round) == (Phase.PREPARE, 1)
    assert (settings.primary.name, settings.target.name, settings.reads_from.name) == ("db1", "db-a", "db2")
    assert [server.name for server in settings.replicas] == ["db2", "db3"]
    assert [server.name for server in settings.hosts_servers] == ["web1", "web2", "web3", "worker1", "worker2"]
    assert [server.name for server in settings.workers] == ["worker1", "worker2"]
    assert settings.workers[1].tasks == ("mail@1.service",)
    assert settings.workers[1].keep_until == "upgrade"


def test_names_lead_to_addresses() -> None:
    """A name that maps to the wrong server's address would send writes to a replica, or reads nowhere."""
    settings = Settings.from_config(config())
    assert settings.names_of(settings.primary) == ("db1.internal.ln",)
    assert settings.names_before == {
        "db1.internal.ln": "10.77.0.11",
        "db2.internal.ln": "10.77.0.12",
        "db3.internal.ln": "10.77.0.13",
    }
    assert set(settings.names_to(settings.target).values()) == {"10.77.0.14"}


def test_what_is_not_given_has_the_documented_default() -> None:
    """A default that drifts changes what a fleet does without anybody having asked for it."""
    settings = Settings.from_config(config())
    assert settings.postgres.layout is Layout.DEBIAN
    assert (settings.postgres.transfer_mode, settings.postgres.jobs, settings.postgres.port) == ("link", 2, 5432)
    assert (settings.limits.upgrade_seconds, settings.limits.lag_bytes) == (600, 16_777_216)
    assert settings.ssh.port == 22
    assert settings.ssh.private_key_file is None
    assert settings.ssh.bastion_user == "deploy"
    assert settings.accept_unknown_host_keys is False


def test_empty_values_count_as_not_given() -> None:
    """Pulumi.yaml's empty defaults must not be taken for values, or the example of a mistake would be the default."""
    assert Settings.from_config(
        {**config(), "limits": {}, "postgres": {}, "acceptUnknownHostKeys": ""}
    ).limits.lag_seconds


def test_a_server_without_host_key_passes_only_when_the_stack_says_so() -> None:
    """Asked for in so many words, an unknown host key is let through, and for the bastion too."""
    given = config()
    del given["servers"]["db2"]["hostKey"], given["ssh"]["bastion"]["hostKey"]
    settings = Settings.from_config({**given, "acceptUnknownHostKeys": "true"})
    assert settings.reads_from.host_key is None


def test_a_host_keys_comment_goes() -> None:
    """The comment names a person's machine and would make two equal keys differ."""
    given = config()
    given["servers"]["db2"]["hostKey"] += " root@db2"
    assert Settings.from_config(given).reads_from.host_key == host_key("db2")


def test_ipv6_addresses_have_one_spelling() -> None:
    """Two spellings of one address would be two servers, and the read-back would never match."""
    given = config()
    given["servers"]["db2"]["address"] = "FD00:0::12"
    assert Settings.from_config(given).reads_from.address == "fd00::12"


def test_settings_cannot_be_altered() -> None:
    """A component that altered them would change what the next one declares."""
    with pytest.raises(ValidationError):
        Settings.from_config(config()).round = 2


def test_the_password_is_nowhere_in_the_settings() -> None:
    """Settings are printed in errors and previews; the password must not be there to be printed."""
    settings = Settings.from_config(config())
    assert "correct horse" not in f"{settings!r}{settings.model_dump()}"


def test_spread_names_lead_to_the_heirs_of_their_old_replicas() -> None:
    """A name that leads to an old server after `retire` leads nowhere."""
    raw = config()
    assert Settings.from_config(raw).names_spread == {
        "db1.internal.ln": "10.77.0.14",
        "db2.internal.ln": "10.77.0.15",
        "db3.internal.ln": "10.77.0.16",
    }
    raw["servers"]["db-d"]["lost"] = True
    assert Settings.from_config(raw).names_spread["db3.internal.ln"] == "10.77.0.14", (
        "DB_A serves what nobody else does"
    )
    del raw["servers"]["db-c"]["takesOver"]
    assert Settings.from_config(raw).names_spread["db2.internal.ln"] == "10.77.0.14"
