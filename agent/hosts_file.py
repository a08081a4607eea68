"""/etc/hosts of a server: database names lead where they are told to, or as they did before pgleap came.

What pgleap did to the file is in one record, written before the file is: the file as it would be without pgleap, and
where names were led (two drafts, while one is being replaced by the other). Whatever the file holds after a crash is one of
these, so that running again goes on; and if others edited the file meanwhile, their edits are told from pgleap's own.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

from agent.hosts_lines import lines_in_common, other_names, put_back, with_managed
from agent.report import Facts, Refusal, progress
from agent.server import STATE_FOLDER, Server
from agent.states import Hosts

HOSTS = "/etc/hosts"
RECORD = f"{STATE_FOLDER}/hosts.json"
# The file as it would be without pgleap, once more, for a person who has to put it back by hand.
COPY = f"{STATE_FOLDER}/hosts.before"
# Seconds: caches that watch the file may be a moment behind it.
RESOLVING_SECONDS = 5.0
RELOAD_SECONDS = 60.0
# What keeps names in memory, by where programs on this server ask it: without its socket there, none does.
CACHES: Dict[str, Tuple[str, ...]] = {
    "/run/nscd/socket": ("nscd", "-i", "hosts"),
    "/run/systemd/resolve/io.systemd.Resolve": ("resolvectl", "flush-caches"),
    "/var/lib/sss/pipes/nss": ("sss_cache", "-E"),
}


class Record(NamedTuple):
    """What pgleap did to the file, and has still to do."""

    before: bytes
    drafts: List[Dict[str, str]]
    reload_owed: bool


def hosts_file(desired: Mapping[str, Any], server: Server) -> Facts:
    """Bring /etc/hosts to the desired state, see that names resolve so, and run the server's reload command if it changed.

    Raises Refusal: the file cannot be replaced, names do not resolve as they should, the reload command fails.
    """
    names: Dict[str, str] = dict(desired["names"])
    if desired["hosts"] == Hosts.MANAGED.value:
        return _managed(names, desired.get("reload"), server)
    return _as_they_were(names, desired.get("reload"), server)


def _managed(names: Dict[str, str], reload: Optional[str], server: Server) -> Facts:
    now, record = _read_file(server), _read_record(server)
    before, edited = _without_us(now, record)
    wanted = with_managed(before, names)
    changed: List[str] = []
    if wanted != now:
        drafts = [] if record is None else [draft for draft in record.drafts if draft != names]
        _write_record(Record(before, [*drafts, names], reload is not None), server)
        _replace(wanted, server)
        _flush_caches(server)
        changed = [f"{HOSTS}: {name} leads to {address}" for name, address in sorted(names.items())]
    try:
        _see_that_they_resolve(names, server)
    except Refusal as refused:
        if not changed:
            raise
        _replace(now, server)
        _write_record(record, server) if record is not None else _clear_record(server)
        _flush_caches(server)
        raise Refusal(
            refused.expected, f"{refused.found}; {HOSTS} was put back as it was found", refused.do
        ) from refused
    owed = reload is not None and (bool(changed) or (record is not None and record.reload_owed))
    if owed:
        changed += _reload(str(reload), server)
    if changed or edited or (record is not None and len(record.drafts) > 1):
        _write_record(Record(before, [names], reload_owed=False), server)
    facts: Facts = {
        "changed": changed,
        "because": "names lead where they are wanted" + ("" if changed else " already, and resolve so"),
        "names": names,
        "aliases left": other_names(before, names),
    }
    return _with_edits(facts, edited)


def _as_they_were(names: Dict[str, str], reload: Optional[str], server: Server) -> Facts:
    now, record = _read_file(server), _read_record(server)
    before, edited = _without_us(now, record)
    changed: List[str] = []
    if record is not None and before != now:
        _write_record(record._replace(before=before, reload_owed=reload is not None), server)
        _replace(before, server)
        _flush_caches(server)
        changed = [
            f"{HOSTS}: names lead as they did before, " + ("with what others changed" if edited else "to the byte")
        ]
    if not _resolve(names, server, exactly=False, patience=RESOLVING_SECONDS if changed else 1.0):
        raise Refusal(
            f"names to resolve as the stack's config says it was before the upgrade: {_listed(names)}",
            f"{_found(names, server)}; {HOSTS} is " + ("as it was before pgleap" if record else "as pgleap found it"),
            f"correct {HOSTS} on this server, or pgleap:names and the servers' addresses in the stack's config",
        )
    if record is not None:
        if reload is not None and (changed or record.reload_owed):
            changed += _reload(reload, server)
        _clear_record(server)
    never = "pgleap never changed them, and they lead where the stack's config says"
    facts: Facts = {
        "changed": changed,
        "because": "names are as they were before pgleap" if record is not None else never,
        "names": names,
    }
    return _with_edits(facts, edited)


def _see_that_they_resolve(names: Mapping[str, str], server: Server) -> None:
    """Raises Refusal unless every managed name resolves to its address, and to no other."""
    if _resolve(names, server, exactly=True, patience=0):
        return
    _flush_caches(server)
    if not _resolve(names, server, exactly=True, patience=RESOLVING_SECONDS):
        raise Refusal(
            f"names to resolve as {HOSTS} has them: {_listed(names)}",
            _found(names, server),
            f"have everybody be able to read {HOSTS} and /etc/nsswitch.conf (`chmod 644`); look at the latter's hosts line (`files` must come"
            " first) and at name service caches",
        )


def _without_us(now: bytes, record: Optional[Record]) -> Tuple[bytes, bool]:
    """The file as it would be without pgleap, and whether others edited it while its names were managed."""
    if record is None or now == record.before:
        return now, False
    if any(now == with_managed(record.before, names) for names in record.drafts):
        return record.before, False
    likeliest = max(record.drafts, key=lambda names: lines_in_common(with_managed(record.before, names), now))
    return put_back(record.before, likeliest, now), True


def _with_edits(facts: Facts, edited: bool) -> Facts:
    if edited:
        facts["notes"] = [
            f"others edited {HOSTS} while its names were managed; all they did but to those names was kept"
        ]
    return facts


def _read_file(server: Server) -> bytes:
    path = server.path(HOSTS)
    if path.is_symlink() or not path.is_file():
        found = f"a link to {path.readlink()}" if path.is_symlink() else "none"
        raise Refusal(f"{HOSTS}, a plain file", found, f"make {HOSTS} a plain file with the server's host names")
    return path.read_bytes()


def _replace(content: bytes, server: Server) -> None:
    try:
        server.write_durably(HOSTS, content)
    except OSError as error:
        raise Refusal(
            f"{HOSTS} to be replaced",
            f"{error.strerror or error}",
            "look for a full disk, an immutable file (`lsattr /etc/hosts`) or a mount over it (a container's)",
        ) from error


def _read_record(server: Server) -> Optional[Record]:
    found = server.read_json(RECORD)
    if not found:
        return None
    return Record(found["before"].encode("latin-1"), found["drafts"], found["reload owed"])


def _write_record(record: Record, server: Server) -> None:
    """The record first: it alone is what the next run goes by."""
    text = record.before.decode("latin-1")
    server.write_json(RECORD, {"before": text, "drafts": record.drafts, "reload owed": record.reload_owed})
    copy = server.path(COPY)
    if not copy.exists() or copy.read_bytes() != record.before:
        server.write_durably(COPY, record.before)


def _clear_record(server: Server) -> None:
    """An empty record, durably, rather than none: a record that came back after a power cut would be taken for true."""
    server.write_json(RECORD, {})
    copy = server.path(COPY)
    if copy.exists():
        copy.unlink()


def _reload(command: str, server: Server) -> List[str]:
    """Run the operator's command line, as they wrote it, by a shell. A failed one is owed and run again the next time."""
    progress(f"running {command}")
    done = server.run("/bin/sh", "-c", command, check=False, timeout=RELOAD_SECONDS)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()[-500:] or "nothing"
        raise Refusal(
            f"this server's reload command to succeed after its names moved: {command}",
            f"exit status {done.returncode}; it said: {said}",
            f"{HOSTS} has changed already: mend the command (reload, in pgleap:servers) or its program, then `pulumi up` again",
        )
    return [f"ran {command}"]


def _flush_caches(server: Server) -> None:
    """Whatever name service cache runs here forgets. Failures show when names are read back."""
    for socket, (program, *arguments) in CACHES.items():
        if server.path(socket).exists() and (program != "sss_cache" or _asks_sssd_for_hosts(server)):
            try:
                server.run(program, *arguments, check=False)
            except Refusal as refused:
                progress(f"could not empty a cache of names ({program}): {refused.found}")


def _asks_sssd_for_hosts(server: Server) -> bool:
    """Emptying sssd's cache costs a look-up of every user again; most servers ask it for users only."""
    configured = server.path("/etc/nsswitch.conf")
    return configured.exists() and re.search(rb"(?m)^\s*hosts:[^#\n]*\bsss\b", configured.read_bytes()) is not None


def _resolve(names: Mapping[str, str], server: Server, exactly: bool, patience: float) -> bool:
    """Whether every name resolves to its address: to no other one if `exactly`, else to that one among others."""
    deadline = server.monotonic() + patience
    while True:
        if all(_leads(_addresses(name, server), address, exactly) for name, address in names.items()):
            return True
        if server.monotonic() >= deadline:
            return False
        server.sleep(0.2)


def _leads(found: List[str], address: str, exactly: bool) -> bool:
    wanted = str(ipaddress.ip_address(address))
    return found == [wanted] if exactly else wanted in found


def _addresses(name: str, server: Server) -> List[str]:
    """The addresses that an ordinary user's program on this server gets for a name, each once, in one way of writing them."""
    return [str(ipaddress.ip_address(address)) for address in server.addresses(name)]


def _found(names: Mapping[str, str], server: Server) -> str:
    return ", ".join(f"{name} -> {' and '.join(_addresses(name, server)) or 'nothing'}" for name in sorted(names))


def _listed(names: Mapping[str, str]) -> str:
    return ", ".join(f"{name} -> {address}" for name, address in sorted(names.items()))
