"""Who is asked, live, before the old primary opens or goes on: DB_A; and where DB_A does not answer, the old replicas.

DB_A opens without the old primary only once a person has called it lost, and every old replica that is not lost either was told of that
before (verb `access`). So one old replica that answers and was not told proves that DB_A has not opened: before the release DB_A itself
need not even be reachable.
"""

from __future__ import annotations

from typing import List, Mapping, NamedTuple, Optional

from agent import access, advice, authority, identity, journal, older_image
from agent.journal import JOURNAL_FILE, Authority, Journal
from agent.other_side import OtherSide
from agent.postgres import Postgres
from agent.report import Refusal, progress
from agent.states import Phase


class Witnesses(NamedTuple):
    """The old replicas that answer: those that were told that DB_A goes on without the old primary, and those that were not."""

    told: List[str]
    untold: List[str]


def refuse_beside_target(
    own: Journal, target: OtherSide, replicas: Mapping[str, str], postgres: Postgres, here: str
) -> Optional[Journal]:
    """For whatever is announced to the old primary (`here`): nothing is begun where DB_A opened without it. DB_A's journal, if it answers.
    Raises Refusal."""
    refuse_another_cluster(own, postgres)
    if target.lost:
        return None  # asked by the gate, as far as it answers: each look at a dead server takes seconds
    theirs = journal_of(target)
    if theirs is not None:
        _refuse(own, theirs, target, here)
        return theirs
    told = witnesses(replicas, postgres).told
    if told:
        _refuse_told(own, target, told)
    return None


def refuse_sealed_without_journal(postgres: Postgres, target: OtherSide, given_up: bool, round_: int) -> None:
    """For an old primary that has no journal: a new one would say that it holds the authority. Its rules, sealed on the disk, say that there was
    one; then DB_A says what became of it, or a person who gave up what DB_A took. Raises Refusal."""
    cluster = postgres.cluster
    if not postgres.server.path(cluster.hba_file).exists() or not access.is_sealed(postgres.server, cluster):
        return
    if given_up or (not target.lost and journal_of(target) is not None):
        return
    gone = advice.give_up(Phase.PREPARE, advice.higher(round_))
    raise Refusal(
        f"a journal in {JOURNAL_FILE}, or an answer from {target.name}, for this server is sealed",
        f"neither: the journal was taken away, and {target.name} may have opened",
        f"restore the file, or see that {target.name} runs and can be reached from here, then run `pulumi up` again; if it is gone for good with"
        f" all that it took, power it off, then: {gone if target.lost else advice.lost(target.name, gone)}",
    )


def target_journal(own: Journal, target: OtherSide, here: str) -> Journal:
    """DB_A's journal, live, for the old primary (`here`). Raises Refusal if it does not answer, opened without this server, or either of the two is
    of an older image."""
    theirs = journal.from_json(target.journal())
    _refuse(own, theirs, target, here)
    return theirs


def _refuse(own: Journal, theirs: Journal, target: OtherSide, here: str) -> None:
    older_image.refuse_older_target(theirs, own, target.name)
    authority.refuse_opened_target(own, theirs, target.name, here)
    older_image.refuse_older_primary(own, theirs, here)


def refuse_to_open_beside_target(
    own: Journal, target: OtherSide, replicas: Mapping[str, str], postgres: Postgres, here: str, accepted: bool
) -> None:
    """Right before the old primary (`here`) opens, whatever its own journal says. `accepted`: a person gave up what DB_A took.

    Raises Refusal.
    """
    theirs = journal_of(target)
    if theirs is not None:
        if (
            own.must_apply is None
        ):  # else what was not brought here may be given up, and DB_A is looked at where it is asked for that
            older_image.refuse_older_target(theirs, own, target.name)
        authority.refuse_opened_target(own, theirs, target.name, here)
        older_image.refuse_older_primary(own, theirs, here)
        if theirs.upgraded_at is not None:
            _refuse_unsealed(target, postgres)
        return
    if own.authority is Authority.RELEASED:
        return  # a person's word, and nothing answers there
    found = witnesses(replicas, postgres)
    if found.told and not (target.lost and accepted):
        _refuse_told(own, target, found.told)
    if own.authority is Authority.SEALED and not found.untold and not target.lost:
        raise Refusal(
            f"{target.name} or an old replica to answer, for {target.name} may have opened while this server was away",
            "none of them can be asked from here",
            f"see that one of them runs and can be reached from here, then run `pulumi up` again; if {target.name} is gone for good, power it"
            f" off, then: {advice.lost(target.name, advice.again(advice.higher(own.round)))}",
        )


def refuse_another_cluster(own: Journal, postgres: Postgres) -> None:
    """Raises Refusal if the data here is of another cluster than the one that the journal was written for."""
    found = identity.of_cluster(postgres.server, postgres.cluster.data)
    if own.cluster and found and own.cluster != found:
        raise Refusal(
            f"the cluster of {JOURNAL_FILE}, with the system identifier {own.cluster}",
            f"one with {found} in {postgres.cluster.data}: it was replaced, and what the journal says is not about it",
            f"put the cluster of before back; if this one takes its place for good, as root on this server: {journal.ADOPT}",
        )


def journal_of(target: OtherSide) -> Optional[Journal]:
    """DB_A's journal, live; None if it cannot be asked, be it called lost or not."""
    if not target.server.connects(target.address, target.port):
        progress(f"{target.name} cannot be asked: nobody answers at {target.address}:{target.port}")
        return None
    try:
        return journal.from_json(target.journal())
    except Refusal as refused:
        progress(f"{target.name} cannot be asked: {refused.found}")
        return None


def witnesses(replicas: Mapping[str, str], postgres: Postgres) -> Witnesses:
    """What the old replicas (name -> address) say, as far as they answer."""
    found = Witnesses([], [])
    for name, address in replicas.items():
        cluster = postgres.cluster
        replica = OtherSide(postgres.server, name, address, cluster.port, cluster.program("psql"))
        if not postgres.server.connects(address, cluster.port):
            continue
        try:
            told = journal.from_json(replica.journal()).alone
        except Refusal as refused:
            # It answered, and has no such file: it was never told anything. (In any language the message names the file.)
            if JOURNAL_FILE not in refused.found:
                continue
            told = False
        (found.told if told else found.untold).append(name)
    return found


def _refuse_told(own: Journal, target: OtherSide, told: List[str]) -> None:
    gone = advice.give_up(Phase.PREPARE, advice.higher(own.round))
    raise Refusal(
        f"{target.name} to say that it has not opened without this server",
        f"it cannot be asked, and {', '.join(told)} was told that this server is lost and that {target.name} goes on without it",
        f"see that {target.name} runs and can be reached from here, then run `pulumi up` again; if it is gone for good with all that it took,"
        f" power it off, then: {gone if target.lost else advice.lost(target.name, gone)}",
    )


def _refuse_unsealed(target: OtherSide, postgres: Postgres) -> None:
    """A promoted DB_A that lets clients in takes writes, whatever its journal says. Raises Refusal."""
    let_in = target.refuses_clients(postgres.cluster.superuser)
    if let_in is not None:
        raise Refusal(
            f"{target.name} to refuse clients, for this server is about to open",
            let_in,
            f"see its pg_hba.conf, or stop PostgreSQL on {target.name}; then run `pulumi up` again",
        )
