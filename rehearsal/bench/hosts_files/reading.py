"""Whether a hosts file says what it is to say. Pure, and none of the code that wrote it."""

from __future__ import annotations

from collections.abc import Collection, Iterator


def leads_elsewhere(before: str, now: str, names: Collection[str], address: str) -> list[str]:
    """What is wrong with `now`, in words: each of `names` must stand on one line, with that address, and every line of `before` without
    one of them must still be there, in its order."""
    mistakes = []
    leads = list(_leads(now))
    for name in names:
        found = [where for where, on_line in leads if name in on_line]
        if found != [address]:
            mistakes.append(f"{name} leads to {' and '.join(found) or 'nothing'}")
    kept = [line for line in before.splitlines() if not set(_words(line)[1:]) & set(names)]
    lines = iter(now.splitlines())
    mistakes += [f"the line {line!r} is gone" for line in kept if line not in lines]
    return mistakes


def _leads(content: str) -> Iterator[tuple[str, list[str]]]:
    for line in content.splitlines():
        if words := _words(line):
            yield words[0], words[1:]


def _words(line: str) -> list[str]:
    return line.partition("#")[0].split()
