"""Definitions of objects on both sides of an upgrade: what is lacking, there besides, or otherwise is told, and nothing else."""

from __future__ import annotations

import pytest

from rehearsal.data.definitions import changed, parse


def test_lines_are_objects() -> None:
    """A name may hold what separates a line's parts."""
    assert parse('aa|table public.a\nbb|index public."a|b"\n') == {"table public.a": "aa", 'index public."a|b"': "bb"}
    assert parse("") == {}
    with pytest.raises(ValueError, match="a hash and an object"):
        parse("psql: something else\n")


def test_each_difference_is_told_with_its_database() -> None:
    """An index that is missing after the upgrade changes no row: only here it is seen."""
    before = {
        "crm": {"table public.a": "1", "index public.a_v": "2", "view public.v": "3"},
        "same": {"table public.b": "1"},
    }
    after = {
        "crm": {"table public.a": "1", "view public.v": "4", "type public.t": "5"},
        "same": {"table public.b": "1"},
    }
    assert changed(before, after) == [
        "crm: index public.a_v is only there before",
        "crm: type public.t is only there after",
        "crm: view public.v is defined otherwise",
    ]
    assert changed(before, {"same": before["same"]}) == [
        "crm: index public.a_v is only there before",
        "crm: table public.a is only there before",
        "crm: view public.v is only there before",
    ]
