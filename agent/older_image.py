"""A database server, or its journal alone, that was restored from an older image, or lost its journal: told by what the other side has seen of it.

What a journal says is then of before, and so is the data: neither side goes on with it. Between the moment in which DB_A opens and the first
look at it only the old primary's own next transaction id tells: DB_A has it take one right before it lets the first client in. No image
of DB_A from before can then open at that fence again, and the old replicas, which stream that transaction, tell an old primary that was put
back, too.
"""

from __future__ import annotations

from agent import advice, authority, journal
from agent.journal import Authority, Fence, Journal
from agent.other_side import OtherSide
from agent.report import Refusal
from agent.states import Phase

# A transaction without content: it takes an id also in a read-only one, and nobody is waited for (as following.COMMIT).
USE_UP = "SET synchronous_commit = local; SELECT FROM pg_logical_emit_message(true, 'pgleap', 'DB_A opens');"


def use_up(primary: OtherSide) -> None:
    """Right before DB_A lets clients in, once its journal says that it holds the authority: the fence is a fence no more. Raises Refusal."""
    primary.ask(USE_UP)


def refuse_used_up(primary: Journal, target: Journal, next_xid: int, name: str) -> None:
    """For an old primary that released its authority to a DB_A (`name`) which says that it never opened; `next_xid` is the old primary's. Raises
    Refusal if something was written since: DB_A opened, or somebody got behind the seal, and nobody can tell which. Whichever side sees it says
    so: the one sent over upgrade would be refused there."""
    if primary.authority is not Authority.RELEASED or target.authority is not Authority.NONE:
        return
    if primary.fence is None or next_xid == primary.fence.xid:
        return
    _refuse_moved(primary, target, primary.fence, next_xid, name)


def _refuse_moved(primary: Journal, target: Journal, fence: Fence, next_xid: int, name: str) -> None:
    raise Refusal(
        f"the next transaction id still {fence.xid}, for {name} says that it has not opened",
        f"it is {next_xid}: {name} had opened, and was restored from an older image; or somebody wrote here behind the seal",
        f"what {name} took is not on it any more: power {name} off, then:"
        f" {advice.lost(name, advice.give_up(Phase.PREPARE, advice.higher(target.round, primary.round)))}",
    )


def refuse_older_target(target: Journal, primary: Journal, name: str) -> None:
    """For whoever reads the journal of DB_A (`name`) while that has, or may have, what the old primary has not: after a release, and until all
    that DB_A took is applied. At any other time DB_A is only built anew. Raises Refusal."""
    waits = primary.authority is Authority.RELEASED or primary.must_apply is not None
    if not waits or primary.seen is None or journal.has_been(target, primary.seen):
        return
    raise Refusal(
        f"the journal on {name} to be the one that the old primary saw, or a later one (written {primary.seen.serial} times or more)",
        f"another one, written {target.serial} times: {name}, or its journal, was restored from an older image, or made anew",
        f"what {name} wrote since is not on it, and the old primary has what it had applied: power {name} off, then:"
        f" {advice.lost(name, advice.give_up(Phase.PREPARE, advice.higher(target.round, primary.round)))}",
    )


def refuse_older_primary(primary: Journal, target: Journal, name: str) -> None:
    """For whoever reads the journal of the old primary (`name`) once DB_A opened on its release. Raises Refusal."""
    opened = target.authority in (Authority.HOLDS, Authority.SEALED)
    if not opened or target.seen is None or journal.has_been(primary, target.seen):
        return
    raise Refusal(
        f"the journal on {name} to be the one that DB_A saw, or a later one (written {target.seen.serial} times or more)",
        f"another one, written {primary.serial} times: {name}, or its journal, was restored from an older image, or made anew",
        f"power {name} off, or empty it: it can serve again only made anew, as a new replica of DB_A; to go on with DB_A:"
        f" {advice.lost(name, advice.to(authority.onwards(target), advice.higher(primary.round, target.round)))}",
    )
