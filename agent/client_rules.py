"""pgleap's own rules in pg_hba.conf: who gets in while a database is sealed, and who always does. Pure.

The first matching line of pg_hba.conf decides, so the rules stand at its top, between two marks; every other byte of the
file stays. `all` in the database column does not match physical replication, which falls through to the fleet's own rules
(PostgreSQL documentation, "The pg_hba.conf File").
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Sequence, Tuple

BEGIN = "# pgleap: begin (these lines are taken away again; do not edit)\n"
END = "# pgleap: end\n"
SEALED = "# sealed: no client gets in, whoever it is\nlocal all all reject\nhost all all all reject\n"
READER = "pgleap"
IDENT_MAP = "pgleap"


def split(text: str) -> Tuple[str, str]:
    """Our block ("" if there is none) and the rest of the file."""
    if not text.startswith(BEGIN) or END not in text:
        return "", text
    end = text.index(END) + len(END)
    return text[:end], text[end:]


def is_sealed(text: str) -> bool:
    return SEALED in split(text)[0]


def with_rules(text: str, superuser: str, readers: Sequence[str], sealed: bool) -> str:
    """The pg_hba.conf in which root reaches `superuser` over the socket, the `readers` (addresses) the role pgleap and, unless
    `sealed`, everybody else what they could before."""
    lines = [BEGIN, f'local all "{superuser}" peer map={IDENT_MAP}\n']
    for reader in readers:
        network = f"{reader}/{ip_address(reader).max_prefixlen}"
        lines.append(f"host replication {READER} {network} scram-sha-256\n")
        lines.append(f"host postgres {READER} {network} scram-sha-256\n")
    # Nobody else may be that role: what it can do is for DB_A's agent and the old primary's.
    lines.append(f"host all {READER} all reject\n")
    if sealed:
        lines.append(SEALED)
    return "".join([*lines, END, split(text)[1]])


def without_rules(text: str) -> str:
    return split(text)[1]


def with_identities(text: str, superuser: str, os_users: Sequence[str]) -> str:
    """The pg_ident.conf in which these users of the operating system may be `superuser` by our map."""
    lines = [f'{IDENT_MAP} {user} "{superuser}"\n' for user in os_users]
    return "".join([BEGIN, *lines, END, split(text)[1]])
