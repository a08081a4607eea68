"""Verb `rehearsal-begin`: the first step on either server. It refuses what would hurt the primary, or a window, and writes phase and
round into the rehearsal's own journal; on the primary it has the guard at work that ends a slot which keeps too much."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import Any, List, Mapping, Optional

from agent import client_rules, journal, rehearsal, rehearsal_guard, seal
from agent.cluster import from_desired
from agent.journal import Authority, Journal
from agent.postgres import Postgres
from agent.report import Facts, Refusal
from agent.server import Server
from agent.states import REHEARSAL_MOVES, Phase, goes_back

# A base backup takes two connections; one more is left for a replica that comes back.
SENDERS = 3


def rehearsal_begin(desired: Mapping[str, Any], server: Server) -> Facts:
    """Begin `phase`. `side` is "old primary" or "DB_A". Raises Refusal."""
    is_primary = desired["side"] == "old primary"
    phase, round_ = Phase(desired["phase"]), int(desired["round"])
    if is_primary:
        _refuse_a_window_under_way(server)
        postgres = Postgres(server, from_desired(desired["postgres"]), desired["address"]).as_superuser()
        if phase is Phase.PREPARE:
            _refuse_to_hurt(postgres, int(desired["walBytes"]))
    else:
        rehearsal.refuse_beside_window(server)
    changed: List[str] = []
    with journal.alone_with(server):  # the unit that makes the copy may write it at this moment
        own = journal.read(server)
        wanted = decide(own, phase, round_, is_primary)
        if wanted != own:
            journal.write(server, wanted)
            changed.append(f"announced {phase} in round {round_} to the rehearsal")
    if is_primary:
        changed += rehearsal_guard.begin(desired, server)
    return {"changed": changed, "because": "it is a rehearsal: nothing that takes writes is sealed, or opened"}


def decide(own: Optional[Journal], phase: Phase, round_: int, is_primary: bool) -> Journal:
    """The rehearsal's journal as it is to be. The primary's has nothing to finish. Pure. Raises Refusal."""
    if own is None:
        if phase is not Phase.PREPARE:
            raise Refusal("a rehearsal that has finished prepare", "none has begun here", _to(Phase.PREPARE, round_))
        return Journal(phase, round_, finished=is_primary, authority=Authority.NONE, epoch=0)
    if round_ < own.round:
        raise Refusal(
            f"round {own.round} or higher, which this server has seen", f"round {round_}", _to(phase, own.round)
        )
    if (phase, round_) == (own.phase, own.round):
        return own
    if phase is not own.phase:
        if phase not in REHEARSAL_MOVES[own.phase] or (goes_back(own.phase, phase) and round_ == own.round):
            raise Refusal(
                f"a higher round than {own.round}, to make the copy anew", f"round {round_}", _to(phase, own.round + 1)
            )
        if not own.finished and not goes_back(own.phase, phase):
            raise Refusal(
                f"{own.phase} to be finished before {phase}", "it is not", f"go on: {_to(own.phase, own.round)}"
            )
    return replace(own, phase=phase, round=round_, finished=is_primary)


def _to(phase: Phase, round_: int) -> str:
    return f"pulumi config set phase {phase} && pulumi config set round {round_} && pulumi up"


def _refuse_a_window_under_way(server: Server) -> None:
    own = journal.read(rehearsal.window(server))
    if own is not None and own.phase is not Phase.PREPARE:
        raise Refusal(
            "a primary that no window is at work on",
            f"the window's journal says: {own.phase} in round {own.round}",
            "rehearse before the window, or when it has gone back to prepare",
        )


def _refuse_to_hurt(postgres: Postgres, wal_bytes: int) -> None:
    """What makes a standby, and what a copy would do that is promoted beside it, must not touch what it is a copy of. Raises Refusal."""
    server, cluster = postgres.server, postgres.cluster
    without = postgres.answers()
    if without is not None:
        raise Refusal(
            f"the operating system's postgres to come in as {cluster.superuser}, by the fleet's own rules",
            without,
            f"start PostgreSQL, or let it in in {cluster.hba_file}; nothing was changed",
        )
    found: List[str] = []
    if postgres.in_recovery():
        found.append("it is a standby: give the server that takes the writes the role primary")
    if client_rules.is_sealed(server.path(cluster.hba_file).read_text(errors="replace")):
        found.append("it is sealed")
    if "*" in postgres.value("current_setting('synchronous_standby_names')"):
        found.append("synchronous_standby_names has a *: commits could wait for the copy; name the standbys there")
    for job in seal.background_jobs(postgres):
        found.append(f"{job}: the copy would run its jobs too, once it is promoted (a window refuses it as well)")
    free = int(
        postgres.value(
            "current_setting('max_wal_senders')::int - (SELECT count(*) FROM pg_stat_replication)::int AS free_senders"
        )
    )
    if free < SENDERS and not _has_slot(postgres):
        found.append(f"{free} of its max_wal_senders are free: a rehearsal wants {SENDERS}")
    wal = server.path(f"{cluster.data}/pg_wal")
    room = shutil.disk_usage(wal if wal.exists() else server.path(cluster.data)).free
    if room < wal_bytes:
        found.append(
            f"{room} bytes are free where its WAL lies, and limits.rehearsalWalBytes lets the copy hold {wal_bytes} back; make room, or set it lower"
        )
    if found:
        raise Refusal(
            "a primary that a rehearsal leaves as it is",
            "; ".join(found),
            "mend what it says, then run `pulumi up` again; nothing was changed",
        )


def _has_slot(postgres: Postgres) -> bool:
    """The copy is at work already, and is one of those that stream."""
    return bool(postgres.rows(f"SELECT slot_name {rehearsal.SLOT_ROW}"))
