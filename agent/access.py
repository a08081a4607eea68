"""Verb `access`: pgleap's own way in, on a database server that stays as it is otherwise."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, List, Mapping, Optional, Sequence

from agent import advice, client_rules, journal
from agent.cluster import OS_USER, Cluster, from_desired
from agent.journal import Authority, Journal
from agent.postgres import Postgres
from agent.report import Facts, Refusal
from agent.server import Server
from agent.states import Phase

MANAGERS = ("patroni", "repmgrd", "pg_auto_failover", "pgautofailover")


def access(desired: Mapping[str, Any], server: Server) -> Facts:
    """Let root in over the socket, and `readers` (addresses) as the role pgleap. A seal that is there stays.

    With `withoutOldPrimary`, which is said before DB_A opens without it, an old replica remembers that: it is asked where DB_A does not
    answer (see asked_live).
    """
    refuse_managers(server)
    changed = _remember(server, int(desired["round"]), desired.get("withoutOldPrimary") is True)
    postgres = Postgres(server, from_desired(desired["postgres"]), desired["address"])
    changed += have_way_in(postgres, desired["readers"])
    return {
        "changed": changed,
        "because": "pgleap's own rules were put first" if changed else "its rules stand there already",
    }


def _remember(server: Server, round_: int, without: bool) -> List[str]:
    """An old replica's journal says this, and nothing else."""
    own = journal.read(server)
    if without == (own is not None and own.alone) or (own is not None and own.authority is not Authority.NONE):
        return []
    with journal.alone_with(server):
        fresh = Journal(Phase.PREPARE, round_, finished=True, authority=Authority.NONE, epoch=0)
        journal.write(server, replace(own or fresh, round=round_, alone=without))
    return ["remembers that DB_A goes on without the old primary" if without else "the old primary is there again"]


def have_way_in(postgres: Postgres, readers: Sequence[str]) -> List[str]:
    """Have pgleap's rules in force on a running cluster, sealed or not as they were. What was changed. Raises Refusal."""
    server, cluster = postgres.server, postgres.cluster
    if not postgres.is_running():
        raise Refusal(
            f"PostgreSQL {cluster.version} running in {cluster.data}",
            "no postmaster",
            f"start it, or mend pgleap:postgres (unit {cluster.unit})",
        )
    if server.path(cluster.hba_file).exists():
        _refuse_elsewhere(postgres)
    own = journal.read(server)
    closed = own is not None and own.authority in (Authority.SEALED, Authority.RELEASED)
    sealed = is_sealed(server, cluster)
    if closed and not sealed:
        # What is written here is read: the block that somebody took out, or made another, comes back as the journal has it.
        text = _text(server, cluster.hba_file)
        sealed = _taken_out(postgres) or client_rules.with_rules(text, readers, sealed=False) != text
    changed = write_rules(server, cluster, readers, sealed)
    # Rules that somebody opened by hand, under a journal that says sealed, are not to be read here: they would let clients in.
    by_hand = closed and not sealed
    # A run before this one may have died between writing the rules and having them read, or before the role was made.
    if changed or (postgres.answers() if by_hand else postgres.unread()) is not None:
        changed += postgres.have_local_role()
        try:
            postgres.reload()
        except Refusal as refused:
            raise _with_superusers_words(postgres, refused) from refused
    return changed


def _with_superusers_words(postgres: Postgres, refused: Refusal) -> Refusal:
    """Where pgleap's own role is not there it is because the superuser, who makes it, was not let in: that is what has to be mended."""
    own = None if is_sealed(postgres.server, postgres.cluster) else postgres.as_superuser().answers()
    if own is None:
        return refused
    superuser = postgres.cluster.superuser
    return Refusal(
        f"{OS_USER} of the operating system to be let in over the socket as {superuser}, who makes pgleap's own role",
        f"{own}; and of pgleap's: {refused.found}",
        f"have a line for it be the first of the fleet's own in {postgres.cluster.hba_file} (docs/preflight.md, local-login), or mend"
        " pgleap:postgres (port, superuser, socketFolder); then run `pulumi up` again",
    )


def bring_back(postgres: Postgres, readers: Sequence[str], sealed: bool, on_target: bool = False) -> List[str]:
    """On a running DB_A, or a sealed old primary: pgleap's rules again, where somebody took a whole block out of one of the two files. Once
    that is read root itself does not come in any more, to mend it, and clients do. What was changed. Raises Refusal."""
    if not postgres.is_running() or not _taken_out(postgres):
        return []
    changed = write_rules(postgres.server, postgres.cluster, readers, sealed, on_target)
    postgres.reload()
    return changed


def refuse_taken_out(postgres: Postgres, phase: Phase) -> None:
    """For a verb that only looks, before it asks DB_A anything: raises Refusal where `bring_back` would have something to do, as it has in
    `phase`."""
    cluster = postgres.cluster
    if _taken_out(postgres):
        round_ = advice.higher(journal.must_read(postgres.server).round)
        raise Refusal(
            f"pgleap's block in {cluster.hba_file} and {cluster.ident_file}",
            "somebody took it out: once that is read root does not come in here, and clients may",
            f"have it written again: {advice.to(phase, round_)}",
        )


def _taken_out(postgres: Postgres) -> bool:
    server, files = postgres.server, (postgres.cluster.hba_file, postgres.cluster.ident_file)
    there = all(server.path(file).exists() for file in files)
    return there and not all(client_rules.split(_text(server, file))[0] for file in files)


def is_sealed(server: Server, cluster: Cluster) -> bool:
    """Whether the rules on the disk are sealed, whatever others made of them since."""
    return client_rules.is_sealed(_text(server, cluster.hba_file))


def seal_holds(server: Server, cluster: Cluster) -> bool:
    """Whether the rules on the disk refuse clients."""
    return client_rules.holds(_text(server, cluster.hba_file))


def write_rules(
    server: Server,
    cluster: Cluster,
    readers: Sequence[str],
    sealed: bool,
    on_target: bool = False,
    root_as_superuser: bool = False,
    instead: Optional[Mapping[str, str]] = None,
) -> List[str]:
    """Write both files if they differ; which were written. What runs must be told by a reload. `instead` are the texts (by file) that get
    pgleap's rules in the place of what the files hold: in one write, so that no file is ever without its seal."""
    upgrader, root_as = (cluster.superuser if wanted else None for wanted in (on_target, root_as_superuser))
    identities = partial(client_rules.with_identities, upgrader=upgrader, root_as=root_as)
    rules = partial(client_rules.with_rules, readers=readers, sealed=sealed, upgrader=upgrader, root_as=root_as)
    changed = []
    for file, render in ((cluster.ident_file, identities), (cluster.hba_file, rules)):
        there = server.path(file).exists()
        if not there and instead is None:
            raise Refusal(f"the file {file}", "none", "mend pgleap:postgres (layout, cluster, old.config)")
        text = _text(server, file) if there else ""
        wanted = render(text if instead is None else client_rules.without_rules(instead[file]))
        if wanted != text:
            put(server, file, wanted, new=instead is not None)
            changed.append(f"wrote {file}")
    return changed


def put(server: Server, file: str, text: str, new: bool = False) -> None:
    """Replace a rule file; a `new` one belongs to PostgreSQL. Raises Refusal if it cannot be."""
    mode, owner = (0o640, server.owner(OS_USER)) if new else (None, None)
    try:
        server.write_durably(file, text.encode(errors="surrogateescape"), mode=mode, owner=owner)
    except OSError as error:
        raise Refusal(
            f"{file} to be replaced",
            f"{error.strerror or error}",
            f"look for a full disk, an immutable file (`chattr -ia {file}`) or a mount over it; then run `pulumi up` again",
        ) from error


def _refuse_elsewhere(postgres: Postgres) -> None:
    """Rules in a file that PostgreSQL does not read let nobody in and refuse nobody. Asked before they are written for the first time,
    while the fleet's own rules let the superuser in; if they do not, what follows says so. Raises Refusal."""
    server, cluster, superuser = postgres.server, postgres.cluster, postgres.as_superuser()
    if client_rules.split(_text(server, cluster.hba_file))[0] or superuser.answers() is not None:
        return
    there = superuser.row("SELECT current_setting('hba_file') AS hba, current_setting('ident_file') AS ident")
    for setting, read, ours in (
        ("hba_file", there["hba"], cluster.hba_file),
        ("ident_file", there["ident"], cluster.ident_file),
    ):
        if server.path(read).resolve() != server.path(ours).resolve():
            raise Refusal(
                f"PostgreSQL to read its rules from {ours}",
                f"{setting} is {read}",
                f"take {setting} out of the settings and put the rules there (a link to another place is well), then restart;"
                " or name that folder in pgleap:postgres (old.config)",
            )


def _text(server: Server, file: str) -> str:
    """A file as it is: line ends, and bytes that are no UTF-8, come back as they were."""
    return server.path(file).read_bytes().decode(errors="surrogateescape")


def refuse_managers(server: Server) -> None:
    """A cluster manager would promote an old replica while the primary is sealed, or undo what we do."""
    # One call for all: on the way back each costs refused writes.
    said = server.run("systemctl", "is-active", *MANAGERS, check=False).stdout.split()
    for manager, state in zip(MANAGERS, said):
        if state == "active":
            raise Refusal(
                "no cluster manager that could promote a replica",
                f"{manager} is active",
                f"pause it and stop its unit: systemctl stop {manager}",
            )
