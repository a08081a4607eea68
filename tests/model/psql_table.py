"""What the fake psql is made of: one run of it, and tables of fragments with what the fake cluster makes of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.model.cluster import Cluster, Session

if TYPE_CHECKING:
    from tests.model.machine import Machine

Row = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """One psql: `asker` is the server that it runs on, `host` the one whose `cluster` it talks to."""

    asker: Machine
    host: Machine
    cluster: Cluster
    session: Session
    writing: bool

    def writes(self, what: str) -> None:
        """A transaction of this session's takes an id. Raises DatabaseError."""
        with self.asker.effect(what):
            self.cluster.begin(self.session, self.host.now(), self.writing)
            self.cluster.insert(self.session, 0)
            self.session.ids.clear()
            self.cluster.commit(self.session, self.host.now())


Rows = Callable[[Asked, str], list[Row]]
Text = Callable[[Asked, str], str]


@dataclass
class Table:
    """Fragments of SQL, in the order in which they are looked for: of what `Postgres.rows` wraps, and of all else."""

    queries: list[tuple[str, Rows]] = field(default_factory=list)
    statements: list[tuple[str, Text]] = field(default_factory=list)

    def query(self, fragment: str) -> Callable[[Rows], Rows]:
        def add(answer: Rows) -> Rows:
            self.queries.append((fragment, answer))
            return answer

        return add

    def statement(self, fragment: str) -> Callable[[Text], Text]:
        def add(answer: Text) -> Text:
            self.statements.append((fragment, answer))
            return answer

        return add


def lsn_text(lsn: int) -> str:
    return f"0/{lsn:X}"


def lsn_of(text: str) -> int:
    return int(text.partition("/")[2], 16)
