"""The schema of report.json. Whatever the page shows is in here, and the page is made from nothing else.

Moments are seconds since the epoch, as the clients' logs have them: all of the lab's servers share one clock. Durations are seconds,
latencies milliseconds. A reader of another VERSION must refuse: a field that changed its meaning would be shown as what it was.
"""

from __future__ import annotations

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, model_validator

BUCKET_MILLISECONDS = 100

VERSION: Final = 1
Kind = Literal["read", "write"]
Span = Literal["before", "during", "after"]


class Part(BaseModel):
    """What all parts of a report share: nothing unknown in them, nothing changed once read, and their fields' sentences in the JSON schema."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Server(Part):
    """One server of the fleet."""

    name: str
    role: str
    """primary, replica, target (DB_A), new-replica, online, drained, worker."""
    address: str


class Versions(Part):
    """What ran."""

    pgleap: str
    commit: str | None
    """The checkout's commit, with "+" behind it if files were changed; null outside a checkout."""
    postgres_old: str
    postgres_new: str | None
    """Null if no server was upgraded."""
    engine: str | None
    """What `pulumi version` says; null where none ran."""
    python: str
    plugins: dict[str, str]
    """Plugin -> "real", or "stand-in": of the latter this repository's own program played the part."""


class Machine(Part):
    """The one machine that all servers ran on; it bears no name."""

    system: str
    kernel: str
    processor: str
    cores: int
    memory: int
    """Bytes."""


class Database(Part):
    """The size of one database on the primary, before the first move."""

    name: str
    bytes: int
    relations: int
    """Rows of pg_class, PostgreSQL's own left out: tables, partitions, indexes, sequences, views, and what holds long values."""
    tables: int
    """Of these the ordinary tables, partitions included."""
    large_objects: int


class Step(Part):
    """One step of an `up`, as the engine's events told of it, stamped when they came."""

    name: str
    began: float
    ended: float | None
    """Null if it had not ended when the engine did."""
    failed: bool = False

    @property
    def seconds(self) -> float | None:
        return None if self.ended is None else self.ended - self.began


class Preview(Part):
    """What `pulumi preview --diff` printed before a move, as it was; the checkout's own folder is written as a dot."""

    began: float
    ended: float
    text: str


class Move(Part):
    """One move to a phase: its preview, its `up`, the steps of that by their beginning."""

    phase: str
    preview: Preview
    began: float
    """Of the `up`."""
    ended: float
    steps: list[Step]


class Lane(Part):
    """The operations of one kind in each bucket: those of the clients on one server, or those that one database answered."""

    side: Literal["client", "database"]
    server: str
    kind: Kind
    succeeded: list[int]
    failed: list[int]
    """Of a database: what it refused once it was connected to. What never reached one is only in its client's lane."""

    @model_validator(mode="after")
    def _as_long(self) -> Lane:
        if len(self.succeeded) != len(self.failed):
            raise ValueError(
                f"lane {self.server} {self.kind}: expected as many buckets of failures as of successes "
                f"({len(self.succeeded)}), found {len(self.failed)}"
            )
        return self


class Client(Part):
    """How many operations one kind of client made, on all servers; `judged` are those whose reads must not fail on online servers."""

    name: str
    reads: int
    reads_failed: int
    reads_failed_online: int
    writes: int
    writes_failed: int
    judged: bool


class Traffic(Part):
    """Every operation of every client, counted in the bucket in which it started."""

    began: float
    """The beginning of the first bucket."""
    bucket_milliseconds: int
    buckets: int
    lanes: list[Lane]
    clients: list[Client]

    @model_validator(mode="after")
    def _as_many(self) -> Traffic:
        for lane in self.lanes:
            if len(lane.succeeded) != self.buckets:
                raise ValueError(
                    f"lane {lane.server} {lane.kind}: expected {self.buckets} buckets, found {len(lane.succeeded)}"
                )
        return self

    @property
    def ended(self) -> float:
        """The end of the last bucket."""
        return self.began + self.buckets * self.bucket_milliseconds / 1000


class Spell(Part):
    """A time in which writes were refused: from the start of the first refused one to the end of the first accepted one."""

    since: float
    until: float | None
    """Null if it had not ended when the logs did."""
    seconds: float
    """Its length; if it had not ended, as far as the logs go."""
    refused: int
    """Writes."""


class Outage(Part):
    """When writes were refused on the online servers: on all of them together, and on each. Null where no write was refused."""

    window: Spell | None
    servers: dict[str, Spell | None]
    slowest: float
    """The longest that any acknowledged write took, in seconds: one that is held back and then done is no refusal, and no less of a wait."""


class Latency(Part):
    """How long the successful operations of one kind of client on the online servers took, in milliseconds, by nearest rank.

    `during`: those that started in the outage's window.
    """

    span: Span
    client: str
    kind: Kind
    count: int
    p50: float
    p95: float
    p99: float
    slowest: float


class Write(Part):
    """One write that the reconciliation complains of."""

    id: str
    server: str
    client: str
    database: str
    at: float
    error: str | None


class Ledger(Part):
    """What became of the writes: each one looked up by its id, after the last move, in the database that then took writes."""

    acknowledged: int
    found: int
    """Of these."""
    missing: list[Write]
    """Acknowledged, and not there."""
    torn: list[Write]
    """There, and not whole."""
    failed_present: list[Write]
    """Refused, and there."""
    unknown_present: int
    """The connection was lost during COMMIT, and it is there."""
    unknown_absent: int
    strangers: dict[str, int]
    """Database -> entries that are in no log."""


class Comparison(Part):
    """Every table on both sides of the upgrade. It is the rehearsal's own work, not pgleap's, and writes are refused meanwhile."""

    began: float
    ended: float
    differing: list[str]
    emptied: list[str]
    """Unlogged tables that arrived without their rows, as pg_upgrade leaves those of a standby."""
    objects: int
    """How many objects of the schemas given had their definitions compared, too."""


class HostsFile(Part):
    """/etc/hosts of one server, before the first move and after the last."""

    server: str
    before: str
    after: str


class Exercise(Part):
    """One fault of a drill, or one way back that was practised with nothing broken, and what the clients saw from its beginning to its end."""

    name: str
    seconds: float
    """How long it took."""
    writes_refused: float | None
    """Seconds from the first write refused on an online server to the first accepted again; null if none was, or they were never all accepted again."""
    back: float | None
    """Seconds from the command of the way back to the first write accepted, where that was to be within five."""
    forward: float | None
    """Seconds that it took to come as far again."""
    acknowledged: int
    lost: int
    """Of the acknowledged writes."""
    reads: int
    read_errors: int
    """Failed reads on online servers of the clients that must not see one."""
    explained: dict[str, int]
    """Server -> failed reads of its own that the fault accounts for: it was off the network itself."""
    refused: list[str]
    """What pgleap said."""
    repaired: list[str]
    """What was done about it, word for word."""


class Drill(Part):
    """Every fault and every way back, on a fleet of its own, made after the rehearsal's was taken down."""

    exercises: list[Exercise]
    """Those that were begun, also those that broke off."""
    asked: int
    """How many there were to do."""
    failed: dict[str, str]
    """Exercise -> why."""
    complaints: list[str]
    """Why the drill failed, in sentences; empty if it succeeded."""
    acknowledged: int
    lost: int
    authorities: list[str]
    """The databases that took writes, one after another."""
    notes: list[str]
    """How its fleet was not as in the config."""


class Report(Part):
    """One rehearsal, or one night as it was watched."""

    version: Literal[1] = VERSION
    kind: Literal["rehearsal", "watched"] = "rehearsal"
    """Of what was `watched` on a night there are the operations alone, and what follows from them."""
    began: float
    """When fleet, data and traffic stood; of what was watched the first operation's start."""
    ended: float
    """When the last write was looked up; of what was watched the last operation's end."""
    complaints: list[str]
    """Why it failed, in sentences; empty if it succeeded."""
    versions: Versions
    machine: Machine | None
    databases: list[Database]
    fleet: list[Server]
    moves: list[Move]
    traffic: Traffic
    outage: Outage | None
    latencies: list[Latency]
    ledger: Ledger | None
    comparison: Comparison | None
    hosts_files: list[HostsFile]
    restored: list[str]
    """The schemas that were given, and how much of each was restored, in sentences."""
    notes: list[str]
    """How the fleet was not as in the config, in sentences."""
    not_rehearsed: list[str]
    """What of the schemas given the lab could not have, in sentences."""
    drill: Drill | None = None

    @property
    def passed(self) -> bool:
        return not self.complaints and not (self.drill and self.drill.complaints)

    @property
    def window(self) -> Spell | None:
        """The outage of all online servers together."""
        return self.outage.window if self.outage else None
