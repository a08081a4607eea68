"""The stream back to the old primary, as a stack says how it wants it."""

from __future__ import annotations

from typing import Any

import pytest

from components.config_errors import SettingsError
from components.desired import Desire
from components.phases import Lead
from components.plan import plan
from components.settings import Settings
from tests.unit.example_config import config


def settings(**reverse: Any) -> Settings:
    return Settings.from_config({**config(), "phase": "cutover", "reverseReplication": reverse})


def test_at_cutover_every_name_leads_to_db_a() -> None:
    """A name that stayed by mistake would send writes to a database that only reads."""
    assert set(Desire(settings()).names(Lead.DB_A).values()) == {settings().target.address}


def test_replicas_keep_their_names_if_the_stack_says_so() -> None:
    """Reads stay on the old version, writes go to DB_A: the old primary's names must not stay."""
    kept = settings(replicasKeepNames=True)
    names = Desire(kept).names(Lead.DB_A)
    assert {name: names[name] for name in kept.names_of(kept.primary)} == dict.fromkeys(
        kept.names_of(kept.primary), kept.target.address
    )
    for replica in kept.replicas:
        assert all(names[name] == replica.address for name in kept.names_of(replica))
    assert any("the others as they were, to old replicas that follow" in sentence for sentence in plan(kept))


def test_a_lost_replica_keeps_no_name() -> None:
    """It answers nobody."""
    raw = {**config(), "phase": "cutover", "reverseReplication": {"replicasKeepNames": True}}
    raw["servers"]["db3"]["lost"] = True
    lost = Settings.from_config(raw)
    assert all(lost.names_after[name] == lost.target.address for name, owner in lost.names.items() if owner == "db3")


@pytest.mark.parametrize(
    ("reverse", "words"),
    [
        (
            {"replicasKeepNames": True, "enabled": False},
            "pgleap:reverseReplication.replicasKeepNames: without the stream",
        ),
        ({"slotWalKeepSize": "64"}, "pgleap:reverseReplication.slotWalKeepSize"),
        ({"verify": "some"}, "pgleap:reverseReplication.verify"),
        ({"leaveOut": "shop.public.log"}, "pgleap:reverseReplication.leaveOut"),
        (
            {"leaveOut": ["public.log"]},
            'pgleap:reverseReplication.leaveOut[0]: "public.log" is no table; write database.schema.table',
        ),
        ({"leaveOut": [" shop.public.log"]}, '" shop.public.log" is no table'),
        ({"leaveOut": ["shop..log"]}, '"shop..log" is no table'),
        ({"leaveOut": ['"shop.public.log"']}, "double quotes around each part by itself"),
        ({"leaveOut": ['"a.b".log']}, "is no table"),
        ({"leaveOut": ['shop."public.log"']}, "is no table"),
        ({"leaveOut": ['shop.public."log']}, "is no table"),
        ({"leaveOut": ['shop.public.""']}, "is no table"),
    ],
)
def test_mistakes_are_named(reverse: dict[str, Any], words: str) -> None:
    """A limit without a unit would be megabytes to one and gigabytes to another."""
    with pytest.raises(SettingsError) as error:
        settings(**reverse)
    assert words in str(error.value)


@pytest.mark.parametrize(
    "entry",
    [
        "shop.public.log",
        'shop.public."Log"',
        'my.shop."a.b".t',
        'shop.public."two\nlines"',
        "shop.ü.ß",
        '"a.b"."c.d"."e""."',
    ],
)
def test_any_name_can_be_left_out(entry: str) -> None:
    """What the catalog holds must be possible to write."""
    assert settings(leaveOut=[entry]).reverse_replication.leave_out == (entry,)
