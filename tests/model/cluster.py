"""A fake PostgreSQL cluster: who gets in, what transactions do, what is committed. It knows no SQL; psql.py does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tests.model.rules import first_match, may_be

DEFAULTS = {
    "autovacuum": "on",
    "default_transaction_read_only": "off",
    "shared_preload_libraries": "",
    "data_checksums": "off",
    "synchronous_standby_names": "",
    "port": "5432",
}
# Whose sessions speak SQL for somebody else.
CLIENT_KINDS = ("client backend", "walsender")
# Of the WAL, in bytes: what a switch fills up, and what stands at the beginning of each.
SEGMENT, PAGE_HEADER = 0x1000, 40
# Roles with a setting of their own, as `ALTER ROLE ... SET default_transaction_read_only = off` makes one.
READ_WRITE_ROLES = ("batch",)


class DatabaseError(Exception):
    """What PostgreSQL answers instead; `is_login` if there was no session at all."""

    def __init__(self, message: str, is_login: bool = False) -> None:
        super().__init__(message)
        self.is_login = is_login


@dataclass(eq=False)
class Session:
    """A backend. `address` is None over the socket; `ids` are the writes of its transaction; one that is `entering` has been
    let in by the rules and does not show in pg_stat_activity yet; one that is `ending` was told to, and may have one act left. A walsender
    with a database `follows` by a slot, or speaks SQL."""

    pid: int
    user: str
    address: str | None
    began: float
    kind: str = "client backend"
    state: str = "idle"
    since: float = 0.0
    entering: bool = False
    ending: bool = False
    over: bool = False
    read_only: bool | None = None
    xid: int | None = None
    follows: str = ""
    ids: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Subscription:
    """What a cluster follows: the slot of the publisher that listens at `address`."""

    address: str
    slot: str
    enabled: bool = True


@dataclass(eq=False)
class Cluster:
    """One cluster. `log` is its WAL: positions and the write ids committed there; `receives` while a standby streams. `logical` are
    the slots of subscribers, with the position up to which each has applied; `held` are those of them that a walsender holds. `consumed` are the
    fleet's own slots, with the position up to which each was sent and has confirmed. `gathered` is whether it has statistics.
    `configured` are those of its running `settings` that are no defaults.
    `in_the_way`: a row of this cluster's own at which its apply worker stops, as `disable_on_error` has it."""

    version: int
    data: str
    config: str
    unit: str
    system: str = ""
    content: set[int] = field(default_factory=set)
    log: list[tuple[int, tuple[int, ...]]] = field(default_factory=list)
    lsn: int = 0x1000
    next_xid: int = 1000
    completed: int = 999
    catalog: dict[str, str] = field(default_factory=dict)
    slots: set[str] = field(default_factory=set)
    logical: dict[str, int] = field(default_factory=dict)
    held: set[str] = field(default_factory=set)
    consumed: dict[str, int] = field(default_factory=dict)
    subscription: Subscription | None = None
    in_the_way: bool = False
    gathered: bool = False
    prepared: dict[str, tuple[int, list[int]]] = field(default_factory=dict)
    running: bool = False
    recovery: bool = False
    receives: bool = False
    comes_back_at: float = 0.0
    pid: int = 0
    last_pid: int = 0
    loaded_at: float = 0.0
    hba: str = ""
    ident: str = ""
    settings: dict[str, str] = field(default_factory=dict)
    configured: frozenset[str] = frozenset()
    by_alter_system: dict[str, str] = field(default_factory=dict)
    sessions: list[Session] = field(default_factory=list)

    def load(self, hba: str, ident: str, rows: Sequence[Mapping[str, str]], now: float) -> None:
        """What a start and a reload read; `rows` are pg_file_settings', of which the last one counts."""
        self.hba, self.ident, self.loaded_at = hba, ident, now
        last = {row["name"]: row for row in rows}
        self.settings = {**DEFAULTS, **{name: row["setting"] for name, row in last.items()}}
        self.configured = frozenset(last)
        self.by_alter_system = {
            name: row["setting"] for name, row in last.items() if row["sourcefile"].endswith("/postgresql.auto.conf")
        }

    def new_pid(self) -> int:
        self.last_pid += 1
        return self.last_pid

    def admits(
        self, user: str, address: str | None, *, os_user: str = "postgres", database: str = "app", knows: bool = True
    ) -> str | None:
        """None if this connection gets in, else what PostgreSQL says. `knows` is whether it brings the right password."""
        if not self.running:
            return "could not connect to server: Connection refused"
        rule = first_match(self.hba, database, user, address)
        if rule is None:
            return f'FATAL:  no pg_hba.conf entry for user "{user}", database "{database}"'
        if rule.method == "reject":
            return f'FATAL:  pg_hba.conf rejects connection for user "{user}", database "{database}"'
        if rule.method == "peer":
            passed = may_be(self.ident, rule.options, os_user, user)
            return None if passed else f'FATAL:  Peer authentication failed for user "{user}"'
        assert rule.method == "scram-sha-256", rule
        return None if knows else "fe_sendauth: no password supplied"

    def login(self, user: str, address: str | None, now: float, *, os_user: str = "postgres") -> Session:
        """A client's session. Raises DatabaseError."""
        refused = self.admits(user, address, os_user=os_user)
        if refused is not None:
            raise DatabaseError(refused, is_login=True)
        session = Session(self.new_pid(), user, address, now, since=now)
        self.sessions.append(session)
        return session

    def close(self, session: Session) -> None:
        self.rollback(session)
        session.over = True
        if session in self.sessions:
            self.sessions.remove(session)

    def begin(self, session: Session, now: float, read_write: bool = False) -> None:
        """BEGIN, or BEGIN READ WRITE. Raises DatabaseError."""
        if session.over:
            raise DatabaseError("terminating connection due to administrator command")
        if self.recovery and read_write:
            raise DatabaseError("cannot set transaction read-write mode during recovery")
        own = session.user in READ_WRITE_ROLES
        by_default = not own and self.settings["default_transaction_read_only"] == "on"
        session.read_only = self.recovery or (by_default and not read_write)
        session.state, session.since = "idle in transaction", now

    def insert(self, session: Session, id_: int) -> None:
        """Raises DatabaseError."""
        if session.over:
            raise DatabaseError("terminating connection due to administrator command")
        if session.read_only is not False:
            raise DatabaseError("cannot execute INSERT in a read-only transaction")
        self.take_xid(session)
        session.ids.append(id_)

    def take_xid(self, session: Session) -> None:
        if session.xid is None:
            session.xid, self.next_xid = self.next_xid, self.next_xid + 1

    def commit(self, session: Session, now: float) -> list[int]:
        """The ids that are committed with this. Raises DatabaseError."""
        if session.over:
            raise DatabaseError("terminating connection due to administrator command")
        committed = self._apply(session.xid, session.ids)
        self._end_transaction(session, now)
        return committed

    def rollback(self, session: Session) -> None:
        if session.xid is not None:
            self.completed = max(self.completed, session.xid)
        self._end_transaction(session, session.since)

    def commit_prepared(self, gid: str) -> list[int]:
        xid, ids = self.prepared.pop(gid)
        return self._apply(xid, ids)

    def _apply(self, xid: int | None, ids: list[int]) -> list[int]:
        if xid is not None:
            self.completed = max(self.completed, xid)
            self.record(64)
            self.log.append((self.lsn, tuple(ids)))
            self.content.update(ids)
        return list(ids)

    @property
    def insert_lsn(self) -> int:
        """Where the next record begins: behind the header of its page, where nobody who follows stands before there is that record."""
        return self.lsn + PAGE_HEADER if self.lsn % SEGMENT == 0 else self.lsn

    def record(self, size: int) -> None:
        """A record of the WAL; `lsn` is where the last one ends."""
        self.lsn = self.insert_lsn + size

    def switch(self) -> None:
        """pg_switch_wal: nothing, right after another one."""
        self.lsn = -(-self.lsn // SEGMENT) * SEGMENT

    def apply(self, ids: Sequence[int]) -> None:
        """A transaction of the publisher's, as one of this cluster's own: neither rules nor the read-only setting count for it."""
        xid, self.next_xid = self.next_xid, self.next_xid + 1
        self._apply(xid, list(ids))

    def _end_transaction(self, session: Session, now: float) -> None:
        session.xid, session.read_only, session.ids = None, None, []
        session.state, session.since = "idle", now

    @property
    def xmax(self) -> int:
        """pg_snapshot_xmax: it follows the last transaction that has ended."""
        return self.completed + 1

    @property
    def holders(self) -> int:
        """How many transactions hold an id."""
        return sum(session.xid is not None for session in self.sessions) + len(self.prepared)

    @property
    def clients(self) -> list[Session]:
        """Sessions that are neither pgleap's nor PostgreSQL's own, those that are just being let in included, and walsenders with a database."""
        return [session for session in self.sessions if session.kind in CLIENT_KINDS and not _is_ours(session.user)]

    def halt(self) -> None:
        """No process of it is left: what was not committed is gone."""
        for session in list(self.sessions):
            self.close(session)
        self.held.clear()
        self.running, self.receives = False, False


def _is_ours(user: str) -> bool:
    return user in ("pgleap", "pgleap_root")
