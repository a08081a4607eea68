"""TLS by name: in the window every name leads to DB_B, then to DB_A, and a client that verifies compares the name with their certificates."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, List, Optional

from agent.check_names import CheckName
from agent.checks.check import Check, Severity, Side, Unseen
from agent.checks.sight import Sight
from agent.checks.wording import few
from agent.states import Phase

if TYPE_CHECKING:
    from agent.checks.handshake import Peer

# Where libpq looks for what it trusts (PostgreSQL documentation, "SSL Client Certificates"), below a user's home.
ROOTS = ".postgresql/root.crt"
FAILS = "clients with sslmode=verify-full fail from then on"


def _before_the_window(sight: Sight) -> None:
    if Phase(sight.desired["phase"]) is not Phase.PREPARE:
        raise Unseen("it is asked before names move, in prepare")


def _peer(sight: Sight, address: str) -> Peer:
    from agent.checks.handshake import Peer  # noqa: PLC0415 - it loads ssl, which no list of checks needs

    return Peer(address, int(sight.desired["postgres"]["port"]))


def _names(sight: Sight) -> List[str]:
    """For the names by which a client can verify today's server: where that fails already, nobody does."""
    _before_the_window(sight)
    desired, today = sight.desired, _today(sight)
    if desired["side"] == Side.OLD_REPLICA.value and not desired["isReadFrom"]:
        return []
    here = _peer(sight, desired["address"])
    when = "in the window" if desired["side"] == Side.OLD_REPLICA.value else "at cutover"
    try:
        held = here.certificate()
    except OSError as error:
        raise Unseen(f"PostgreSQL at {here.address}:{here.port} does not answer ({error})") from error
    found = []
    for name in today:
        refused = "it speaks no TLS" if held is None else here.refusal(name, held)
        if refused is not None:
            fails = "clients with sslmode=require or more fail from then on" if held is None else FAILS
            found.append(f"{name} will lead to {desired['server']} {when}; {refused}: {fails}")
    return few(found)


def _today(sight: Sight) -> List[str]:
    """The names by which a client can verify the server that they lead to now."""
    found = []
    for name, address in sight.desired["names"].items():
        peer = _peer(sight, address)
        try:
            held = peer.certificate()
            if held is not None and peer.refusal(name, held) is None:
                found.append(name)
        except OSError:  # the check of ports says so
            continue
    return found


def _verified(sight: Sight) -> List[str]:
    """This server is known to verify: what its own trusted roots make of DB_B and DB_A, by each name."""
    _before_the_window(sight)
    found = []
    roots = _roots(sight)
    for name, address in sight.desired["names"].items() if roots else ():
        for root in roots:
            try:
                if _peer(sight, address).refusal(name, file=root) is not None:
                    continue  # as it is today: this user does not verify by this name
            except OSError:
                continue
            for server, place in {**sight.desired["readsFrom"], **sight.desired["target"]}.items():
                refused = _refusal(sight, place, name, root)
                if refused is not None:
                    found.append(f"{name} will lead to {server}; {refused}: clients that trust {root} and verify fail")
    return few(found)


def _refusal(sight: Sight, address: str, name: str, root: str) -> Optional[str]:
    try:
        return _peer(sight, address).refusal(name, file=root)
    except OSError:  # a DB_A that is still to be made, or the check of ports says so
        return None


def _roots(sight: Sight) -> List[str]:
    """The files of trusted roots in the homes of this server's users."""
    homes = re.findall(r"(?m)^(?:[^:\n]*:){5}(/[^:\n]*):", sight.text("/etc/passwd") or "")
    files = [sight.server.path(f"{home.rstrip('/')}/{ROOTS}") for home in dict.fromkeys(homes)]
    return [str(file) for file in files if file.is_file()]


CHECKS = (
    Check(
        name=CheckName.TLS_NAMES,
        severity=Severity.WARN,
        sides=(Side.OLD_REPLICA, Side.TARGET),
        why="a name leads to another server then, whose certificate a client with sslmode=verify-full compares with the name: every read"
        " fails, or every write after cutover",
        do="have certificates made for DB_B and DB_A that name every name of pgleap:names (subjectAltName), put them in place and reload;"
        " or see that no client has sslmode=verify-full",
        look=_names,
    ),
    Check(
        name=CheckName.TLS_VERIFIED,
        severity=Severity.REFUSE,
        sides=(Side.SERVER,),
        why="programs on this server have roots that they trust, and verify today's server by its name: they would refuse the one that the"
        " name leads to then",
        do="have certificates made for DB_B and DB_A by the same authority that name every name of pgleap:names (subjectAltName), put them"
        " in place and reload",
        look=_verified,
    ),
)
