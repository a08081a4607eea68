"""The lines of a hosts file, hosts(5): leading managed names to an address, and taking that back. Pure, on bytes.

A line is an address and names, parted by blanks (a carriage return counts as one), up to a `#`. Host names know no capitals.
Nothing is decoded, so that every byte that does not matter here stays what it is.
"""

from __future__ import annotations

import re
from typing import Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

Lines = List[bytes]


class Piece(NamedTuple):
    """A line as it was, and what stands for it while names are managed."""

    # None for the lines at the end that bring in names the file never had.
    before: Optional[bytes]
    # What stays of the line for others: its other names, or a comment. None if nothing does.
    rest: Optional[bytes]
    # The lines that lead managed names where they are wanted.
    ours: Lines

    @property
    def now(self) -> Lines:
        return ([] if self.rest is None else [self.rest]) + self.ours


def with_managed(before: bytes, names: Mapping[str, str]) -> bytes:
    """The file `before` with each of `names` (name -> address) on exactly one line, leading to that address."""
    return _joined([line for piece in _pieces(before, names) for line in piece.now], _split(before)[1])


def put_back(before: bytes, names: Mapping[str, str], now: bytes) -> bytes:
    """The file as it would be had its names never been managed: `before`, with what others changed in it meanwhile.

    `now` is what the file holds; it was made by `with_managed(before, names)`, and others may have edited it since. What
    they did to other lines and other names stays. Where the managed names lead is taken from `before` alone.
    """
    from difflib import SequenceMatcher  # noqa: PLC0415 - only where others edited the file

    pieces = _pieces(before, names)
    written = [line for piece in pieces for line in piece.now]
    lines, ends = _split(now)
    survived: Set[int] = set()
    foreign: Dict[int, Lines] = {}
    for tag, start, end, other_start, other_end in SequenceMatcher(None, written, lines, autojunk=False).get_opcodes():
        if tag == "equal":
            survived.update(range(start, end))
        else:
            foreign.setdefault(start, []).extend(lines[other_start:other_end])
    managed = _folded(names)
    whole: Lines = []
    position = 0
    for piece in pieces:
        for own in range(position, position + len(piece.now)):
            whole += _others_only(foreign.pop(own, []), managed)
        whole += _as_before(piece, managed, position in survived)
        position += len(piece.now)
    whole += _others_only(foreign.pop(position, []), managed)
    return _joined(whole, ends)


def lines_in_common(one: bytes, other: bytes) -> int:
    """How many different lines two files share: which of two drafts a file that was edited since comes from."""
    return len(set(_split(one)[0]) & set(_split(other)[0]))


def other_names(content: bytes, names: Mapping[str, str]) -> Dict[str, str]:
    """The names, not managed themselves, that stand on a line with a managed one, and the address they keep."""
    managed = _folded(names)
    found: Dict[str, str] = {}
    for line in _split(content)[0]:
        address, *on_line = _words(line) or [b""]
        if any(name.lower() in managed for name in on_line):
            for name in on_line:
                if name.lower() not in managed:
                    found[name.decode(errors="replace")] = address.decode(errors="replace")
    return found


def _pieces(before: bytes, names: Mapping[str, str]) -> List[Piece]:
    """The file line by line, each with what stands for it; at the end, names that no line has."""
    addresses = {name.lower().encode(): address.encode() for name, address in names.items()}
    lines = _split(before)[0]
    placed: Set[bytes] = set()
    pieces = [_piece(line, addresses, placed) for line in lines]
    end = b"\r" if lines and lines[0].endswith(b"\r") else b""
    missing = [name for name in names if name.lower().encode() not in placed]
    if missing:
        added = [addresses[name.lower().encode()] + b"\t" + name.encode() + end for name in missing]
        pieces.append(Piece(None, None, added))
    return pieces


def _piece(line: bytes, addresses: Mapping[bytes, bytes], placed: Set[bytes]) -> Piece:
    """What stands for one line. `placed` holds the managed names that a line before it brought in, and is added to."""
    names = _words(line)[1:]
    groups: Dict[bytes, List[int]] = {}
    for index, name in enumerate(names):
        folded = name.lower()
        if folded in addresses and folded not in placed:
            placed.add(folded)
            groups.setdefault(addresses[folded], []).append(index)
    if not any(name.lower() in addresses for name in names):
        return Piece(line, line, [])
    others = [index for index, name in enumerate(names) if name.lower() not in addresses]
    ours: Lines = []
    if not others and groups:
        # Nobody else is on this line: it stays, with its blanks and its comment, and leads elsewhere.
        address = next(iter(groups))
        first = groups.pop(address)
        ours.append(_with(line, first, address))
    end = b"\r" if line.endswith(b"\r") else b""
    ours += [address + b"\t" + b" ".join(names[i] for i in group) + end for address, group in groups.items()]
    rest = _with(line, others) if others else (None if ours else _comment(line))
    return Piece(line, rest, ours)


def _as_before(piece: Piece, managed: Set[bytes], rest_survived: bool) -> Lines:
    """What a line goes back to: itself; only its managed names where others changed what was theirs; nothing if they took it away."""
    if piece.before is None:
        return []
    if piece.rest is None or rest_survived:
        return [piece.before]
    return _reduced(piece.before, lambda name: name.lower() in managed)


def _others_only(lines: Lines, managed: Set[bytes]) -> Lines:
    """Lines that others wrote, without the managed names: where those lead is not theirs to say."""
    kept: Lines = []
    for line in lines:
        if any(name.lower() in managed for name in _words(line)[1:]):
            kept += _reduced(line, lambda name: name.lower() not in managed) or filter(None, [_comment(line)])
        else:
            kept.append(line)
    return kept


def _reduced(line: bytes, keep: Callable[[bytes], bool]) -> Lines:
    """The line with only the names that `keep` picks; no line at all if it picks none."""
    kept = [index for index, name in enumerate(_words(line)[1:]) if keep(name)]
    return [_with(line, kept)] if kept else []


def _with(line: bytes, kept: Sequence[int], address: Optional[bytes] = None) -> bytes:
    """The line with only the names at these indexes, and another address if one is given; blanks and comment stay."""
    body = line.partition(b"#")[0]
    found = list(re.finditer(rb"\s*\S+", body))
    first = found[0].group()
    blanks = first[: len(first) - len(first.lstrip())]
    start = first if address is None else blanks + address
    return start + b"".join(found[index + 1].group() for index in kept) + line[found[-1].end() :]


def _comment(line: bytes) -> Optional[bytes]:
    _, mark, text = line.partition(b"#")
    return mark + text if mark else None


def _words(line: bytes) -> Lines:
    """The address and the names on a line; bytes.split() parts at the blanks that the C library does."""
    return line.partition(b"#")[0].split()


def _folded(names: Mapping[str, str]) -> Set[bytes]:
    return {name.lower().encode() for name in names}


def _split(content: bytes) -> Tuple[Lines, bool]:
    """The lines without their line feeds, and whether the last one has one."""
    lines = content.split(b"\n")
    ends = lines[-1] == b""
    return (lines[:-1] if ends else lines), ends


def _joined(lines: Lines, ends: bool) -> bytes:
    return b"\n".join(lines) + (b"\n" if ends and lines else b"")
