"""pgleap's own rules in pg_hba.conf: who gets in while a database is sealed, and who always does. Pure.

The first matching line of pg_hba.conf decides, so the rules stand at its top, between two marks; every other byte of the
file stays. A block that others moved, doubled or edited is found all the same, and one is at the top afterwards. They name roles of pgleap's own, so that until the database is sealed nobody else comes in otherwise than before.
`all` in the database column does not match physical replication, which falls through to the fleet's own rules
(PostgreSQL documentation, "The pg_hba.conf File").
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Optional, Sequence, Tuple

from agent.blocks import cut

BEGIN = "# pgleap: begin (do not edit)\n"
END = "# pgleap: end\n"
SEALED = "# sealed: no client gets in, whoever it is\nlocal all all reject\nhost all all all reject\n"
# How root reaches the database over the socket: a superuser without a password, whom nobody else can be.
LOCAL_ROLE = "pgleap_root"
# How each side reads the other's journal, and DB_A streams: from the other side's address only.
READER = "pgleap"
IDENT_MAP = "pgleap"
# The replicas of DB_A: a block of its own, which stays when pgleap goes.
STANDBYS_BEGIN = "# replicas of this server, let in by pgleap: begin\n"
STANDBYS_END = "# replicas of this server: end\n"
# A rehearsal's own role on the old primary, and its block, which stands beside a window's.
REHEARSAL = "pgleap_rehearsal"
REHEARSAL_BEGIN = "# a rehearsal of pgleap's: begin (do not edit)\n"
REHEARSAL_END = "# a rehearsal of pgleap's: end\n"


def split(text: str) -> Tuple[str, str]:
    """Our blocks ("" if there is none), wherever they stand, and the rest of the file. Raises Refusal on half a block."""
    blocks, rest = cut(text, BEGIN, END)
    return "".join(blocks), rest


def is_sealed(text: str) -> bool:
    """Whether it was sealed, and was not opened again: also if somebody edited the block, or put lines above it."""
    lines = {line.rstrip() for line in split(text)[0].split("\n")}
    return not lines.isdisjoint(SEALED.splitlines())


def holds(text: str) -> bool:
    """Whether nobody gets past the seal: its block comes first, with nothing between its lines and its end."""
    first, end, _ = text.partition(END)
    return bool(end) and first.startswith(BEGIN) and first.endswith(SEALED)


def with_rules(
    text: str, readers: Sequence[str], sealed: bool, upgrader: Optional[str] = None, root_as: Optional[str] = None
) -> str:
    """The pg_hba.conf in which root gets in over the socket, the `readers` (addresses) as the role pgleap and, unless `sealed`,
    everybody else as before. `upgrader` is the superuser as whom pg_upgrade comes in on a sealed DB_A, `root_as` the one as whom root
    does where pgleap has no role of its own."""
    lines = [BEGIN, f"local all {LOCAL_ROLE} peer map={IDENT_MAP}\n"]
    superuser = upgrader or root_as
    if sealed and superuser is not None:
        lines.append(f'local all "{superuser}" peer map={IDENT_MAP}\n')
    for reader in readers:
        network = f"{reader}/{ip_address(reader).max_prefixlen}"
        lines.append(f"host replication {READER} {network} scram-sha-256\n")
        # Every database: the reverse stream comes to each as this role, which owns nothing and may call pgleap's functions.
        lines.append(f"host all {READER} {network} scram-sha-256\n")
    # Nobody else may be one of these roles, whatever the fleet's own rules trust.
    lines.append(f"host all {READER},{LOCAL_ROLE} all reject\nlocal all {READER} reject\n")
    if sealed:
        lines.append(SEALED)
    return "".join([*lines, END, split(text)[1]])


def with_seal(text: str, sealed: bool) -> str:
    """The pg_hba.conf with one block of ours, otherwise as it is, that refuses clients or does not."""
    blocks, rest = cut(text, BEGIN, END)
    marks = {BEGIN.rstrip(), END.rstrip(), *SEALED.splitlines()}
    first = blocks[0].splitlines(keepends=True) if blocks else []
    plain = "".join(line for line in first if line.rstrip() not in marks)
    return "".join([BEGIN, plain, SEALED if sealed else "", END, rest])


def without_rules(text: str) -> str:
    return split(text)[1]


def with_identities(text: str, upgrader: Optional[str] = None, root_as: Optional[str] = None) -> str:
    """The pg_ident.conf in which root may be our local role, or `root_as`, and, on DB_A, the operating system's postgres the superuser."""
    lines = [f"{IDENT_MAP} root {LOCAL_ROLE}\n"]
    if root_as is not None:
        lines.append(f'{IDENT_MAP} root "{root_as}"\n')
    if upgrader is not None:
        lines.append(f'{IDENT_MAP} postgres "{upgrader}"\n')
    return "".join([BEGIN, *lines, END, split(text)[1]])


def with_rehearsal(text: str, reader: str) -> str:
    """The pg_hba.conf in which the rehearsal's role streams, and reads the database postgres, from the address `reader` and from nowhere
    else. Right after pgleap's own block, so that a seal stays what it is."""
    network = f"{reader}/{ip_address(reader).max_prefixlen}"
    block = "".join(
        [
            REHEARSAL_BEGIN,
            f"host replication,postgres {REHEARSAL} {network} scram-sha-256\n",
            f"host replication,all {REHEARSAL} all reject\nlocal replication,all {REHEARSAL} reject\n",
            REHEARSAL_END,
        ]
    )
    ours, rest = split(without_rehearsal(text))
    return ours + block + rest


def without_rehearsal(text: str) -> str:
    """The rules without that block."""
    return cut(text, REHEARSAL_BEGIN, REHEARSAL_END)[1]


def with_standbys(text: str, user: str, addresses: Sequence[str], method: str) -> str:
    """The pg_hba.conf in which the servers at `addresses` may stream as `user`, and nobody else by this block. Right after pgleap's
    own rules, none of which is about replication but its own role's: what is first counts."""
    ours, rest = split(text)
    lines = [
        f'host replication "{user}" {address}/{ip_address(address).max_prefixlen} {method}\n' for address in addresses
    ]
    block = "".join([STANDBYS_BEGIN, *lines, STANDBYS_END]) if lines else ""
    return ours + block + without_standbys(rest)


def without_standbys(text: str) -> str:
    """The rules without that block."""
    return cut(text, STANDBYS_BEGIN, STANDBYS_END)[1]
