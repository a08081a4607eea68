"""Where names lead, asked of this machine itself: what programs on it get."""

from __future__ import annotations

from agent.server import Server


def test_a_name_of_the_hosts_file_leads_where_it_says() -> None:
    """Asked elsewhere than programs ask, a name could lead to DB_A here, and to the old primary for everybody else."""
    assert set(Server().addresses("localhost")) <= {"127.0.0.1", "::1"}
    assert Server().addresses("localhost")


def test_each_address_is_told_once() -> None:
    """One for each kind of socket would read as a name that leads to several servers."""
    assert Server().addresses("127.0.0.1") == ["127.0.0.1"]


def test_a_name_that_leads_nowhere_is_no_error() -> None:
    """A server without a database name is told of by name, not by a traceback."""
    assert Server().addresses("nowhere.invalid") == []
