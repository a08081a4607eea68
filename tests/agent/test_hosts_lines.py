"""Hosts files: whatever stands in them, managed names lead where they should, and everything else stays to the byte."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.hosts_lines import other_names, put_back, with_managed

B = {"db1.internal.ln": "10.77.0.12", "db2.internal.ln": "10.77.0.12"}

# (what it is about, the file, the file with B managed)
CASES = [
    ("a line each", b"10.77.0.11 db1.internal.ln\n10.77.0.12 db2.internal.ln\n", b"10.77.0.12 db1.internal.ln\n10.77.0.12 db2.internal.ln\n"),
    ("an alias keeps its address", b"10.77.0.11 db1.internal.ln db1\n10.77.0.12 db2.internal.ln\n", b"10.77.0.11 db1\n10.77.0.12\tdb1.internal.ln\n10.77.0.12 db2.internal.ln\n"),
    ("an alias in front", b"10.77.0.11\tdb1  db1.internal.ln # main\n10.77.0.12 db2.internal.ln\n", b"10.77.0.11\tdb1 # main\n10.77.0.12\tdb1.internal.ln\n10.77.0.12 db2.internal.ln\n"),
    ("both on one line", b"10.0.0.1 db1.internal.ln db2.internal.ln\n", b"10.77.0.12 db1.internal.ln db2.internal.ln\n"),
    ("capitals", b"10.77.0.11 DB1.Internal.LN\n10.0.0.9 dB2.internal.ln\n", b"10.77.0.12 DB1.Internal.LN\n10.77.0.12 dB2.internal.ln\n"),
    ("blanks and a comment stay", b"  10.77.0.11 \t db1.internal.ln\t# the main one\n10.77.0.12 db2.internal.ln", b"  10.77.0.12 \t db1.internal.ln\t# the main one\n10.77.0.12 db2.internal.ln"),
    ("several addresses", b"10.77.0.11 db1.internal.ln\n10.77.0.99 db1.internal.ln\n10.77.0.12 db2.internal.ln\n", b"10.77.0.12 db1.internal.ln\n10.77.0.12 db2.internal.ln\n"),
    ("a repeat's comment stays", b"10.77.0.11 db1.internal.ln\n10.77.0.99 db1.internal.ln # old\n1.1.1.1 db2.internal.ln\n", b"10.77.0.12 db1.internal.ln\n# old\n10.77.0.12 db2.internal.ln\n"),
    ("a repeat beside another name", b"10.77.0.11 db1.internal.ln\n10.77.0.99 db1.internal.ln x\n1.1.1.1 db2.internal.ln\n", b"10.77.0.12 db1.internal.ln\n10.77.0.99 x\n10.77.0.12 db2.internal.ln\n"),
    ("twice on one line", b"10.77.0.11 db1.internal.ln db1.internal.ln\n1.1.1.1 db2.internal.ln\n", b"10.77.0.12 db1.internal.ln\n10.77.0.12 db2.internal.ln\n"),
    ("IPv6", b"fd00::11 db1.internal.ln\n10.77.0.11 db1.internal.ln\n1.1.1.1 db2.internal.ln\n", b"10.77.0.12 db1.internal.ln\n10.77.0.12 db2.internal.ln\n"),
    ("CRLF", b"10.77.0.11 db1.internal.ln\r\n10.0.0.3 a db2.internal.ln\r\n", b"10.77.0.12 db1.internal.ln\r\n10.0.0.3 a\r\n10.77.0.12\tdb2.internal.ln\r\n"),
    ("none of them", b"127.0.0.1 localhost\n", b"127.0.0.1 localhost\n10.77.0.12\tdb1.internal.ln\n10.77.0.12\tdb2.internal.ln\n"),
    ("none, and no newline at the end", b"127.0.0.1 localhost", b"127.0.0.1 localhost\n10.77.0.12\tdb1.internal.ln\n10.77.0.12\tdb2.internal.ln"),
    ("an empty file", b"", b"10.77.0.12\tdb1.internal.ln\n10.77.0.12\tdb2.internal.ln\n"),
    ("a comment is no name", b"# 10.77.0.11 db1.internal.ln\n10.77.0.11 x #db1.internal.ln\n1.1.1.1 db1.internal.ln db2.internal.ln\n", b"# 10.77.0.11 db1.internal.ln\n10.77.0.11 x #db1.internal.ln\n10.77.0.12 db1.internal.ln db2.internal.ln\n"),
    ("part of a name is another name", b"10.0.0.8 db1.internal.ln.example olddb1.internal.ln\n1.1.1.1 db1.internal.ln db2.internal.ln\n", b"10.0.0.8 db1.internal.ln.example olddb1.internal.ln\n10.77.0.12 db1.internal.ln db2.internal.ln\n"),
    ("a name where the address should be", b"db1.internal.ln\n1.1.1.1 db1.internal.ln db2.internal.ln\n", b"db1.internal.ln\n10.77.0.12 db1.internal.ln db2.internal.ln\n"),
    ("other encodings", b"# caf\xe9\n10.77.0.11 db1.internal.ln # \xff\n1.1.1.1 db2.internal.ln\n", b"# caf\xe9\n10.77.0.12 db1.internal.ln # \xff\n10.77.0.12 db2.internal.ln\n"),
]  # fmt: skip


@pytest.mark.parametrize(("about", "before", "after"), CASES, ids=[case[0] for case in CASES])
def test_managed_names_are_led_elsewhere_and_the_way_back_is_exact(about: str, before: bytes, after: bytes) -> None:
    """A name left behind on some odd line goes on to the sealed primary; a line spoilt breaks something unrelated."""
    assert with_managed(before, B) == after
    assert put_back(before, B, after) == before


def test_a_file_of_ten_thousand_lines() -> None:
    """Blocklists are kept in hosts files; a look at every line for every other one would take the window's whole time."""
    blocked = b"".join(b"0.0.0.0 ads%d.example\n" % number for number in range(10_000))
    before = blocked + b"10.77.0.11 db1.internal.ln db1\n10.77.0.12 db2.internal.ln\n" + blocked
    after = with_managed(before, B)
    assert after == blocked + b"10.77.0.11 db1\n10.77.0.12\tdb1.internal.ln\n10.77.0.12 db2.internal.ln\n" + blocked
    assert put_back(before, B, after) == before


def test_names_can_lead_to_different_addresses() -> None:
    """In a later phase each name has its own server; one line must then become two."""
    spread = {"db1.internal.ln": "10.77.0.14", "db2.internal.ln": "10.77.0.15"}
    assert with_managed(b"10.0.0.1 db1.internal.ln db2.internal.ln # both\n", spread) == (
        b"10.77.0.14 db1.internal.ln # both\n10.77.0.15\tdb2.internal.ln\n"
    )


def test_names_that_stay_behind_are_told() -> None:
    """A client that uses the short name goes on to a primary that refuses it; an operator must be able to see that."""
    assert other_names(b"10.77.0.11 db1.internal.ln db1 main\n10.0.0.1 web\n", B) == {
        "db1": "10.77.0.11",
        "main": "10.77.0.11",
    }


BEFORE = b"127.0.0.1 localhost\n10.77.0.11 db1.internal.ln db1\n# end\n10.77.0.12 db2.internal.ln\n"

# (what others did, the file they left, the file without pgleap)
EDITS = [
    ("a line added", with_managed(BEFORE, B) + b"10.0.0.7 cache\n", BEFORE + b"10.0.0.7 cache\n"),
    ("a line added in front", b"10.0.0.7 cache\n" + with_managed(BEFORE, B), b"10.0.0.7 cache\n" + BEFORE),
    ("a line taken away", with_managed(BEFORE, B).replace(b"# end\n", b""), BEFORE.replace(b"# end\n", b"")),
    ("a line altered", with_managed(BEFORE, B).replace(b"# end", b"# the end"), BEFORE.replace(b"# end", b"# the end")),
    ("our line taken away", with_managed(BEFORE, B).replace(b"10.77.0.12\tdb1.internal.ln\n", b""), BEFORE),
    ("our line led elsewhere", with_managed(BEFORE, B).replace(b"10.77.0.12\tdb1", b"10.9.9.9\tdb1"), BEFORE),
    (
        "an alias added to what stayed theirs",
        with_managed(BEFORE, B).replace(b"10.77.0.11 db1\n", b"10.77.0.11 db1 main\n"),
        BEFORE.replace(b"10.77.0.11 db1.internal.ln db1\n", b"10.77.0.11 db1 main\n10.77.0.11 db1.internal.ln\n"),
    ),
    (
        "another name added to our line",
        with_managed(BEFORE, B).replace(b"10.77.0.12\tdb1.internal.ln", b"10.77.0.12\tdb1.internal.ln reports"),
        BEFORE.replace(b"10.77.0.11 db1.internal.ln db1\n", b"10.77.0.12 reports\n10.77.0.11 db1.internal.ln db1\n"),
    ),
    ("the file made anew without our names", b"127.0.0.1 localhost\n10.0.0.7 cache\n", None),
]


@pytest.mark.parametrize(("about", "now", "whole"), EDITS, ids=[edit[0] for edit in EDITS])
def test_what_others_did_meanwhile_is_kept(about: str, now: bytes, whole: bytes | None) -> None:
    """Restoring a copy would take away lines that someone added during the window: another service loses its name."""
    found = put_back(BEFORE, B, now)
    if whole is None:
        assert b"10.0.0.7 cache\n" in found
        assert b"10.77.0.11 db1.internal.ln" in found
        assert b"10.77.0.12 db2.internal.ln" in found
    else:
        assert sorted(found.split()) == sorted(whole.split())
        assert [line for line in found.split(b"\n") if b"internal" in line] == [
            line for line in whole.split(b"\n") if b"internal" in line
        ]
    assert with_managed(put_back(BEFORE, B, now), B).count(b"db1.internal.ln") == 1


NAMES = ["db1.x", "db2.x", "db3.x"]
WORDS = st.sampled_from([b"db1.x", b"DB1.X", b"db2.x", b"db3.x", b"db1", b"web", b"cache.x", b"db1.x.y", b"\xff\xfe"])
BLANKS = st.sampled_from([b" ", b"\t", b"  ", b" \t "])


@st.composite
def entries(draw: st.DrawFn) -> bytes:
    """A line as people write them: address, names, perhaps a comment, perhaps a carriage return."""
    address = draw(st.sampled_from([b"10.0.0.1", b"10.0.0.2", b"fd00::1", b"oops"]))
    parts = [draw(st.sampled_from([b"", b" "])) + address]
    parts += [draw(BLANKS) + draw(WORDS) for _ in range(draw(st.integers(0, 4)))]
    comment = draw(st.sampled_from([b"", b" # db1.x", b"#", b"\t"]))
    return b"".join(parts) + comment + draw(st.sampled_from([b"", b"", b"\r"]))


LINES = st.one_of(entries(), st.sampled_from([b"", b"# 10.0.0.1 db1.x", b"   "]), st.binary(max_size=20))
FILES = st.builds(
    lambda lines, end: b"\n".join(lines) + end, st.lists(LINES, max_size=8), st.sampled_from([b"\n", b"", b"\n\n"])
)
MANAGED = st.dictionaries(
    st.sampled_from(NAMES), st.sampled_from(["10.0.0.2", "10.9.9.9", "fd00::9"]), min_size=1, max_size=3
)


def read(content: bytes) -> list[tuple[bytes, bytes]]:
    """What a resolver reads: (address, name), in order."""
    found = []
    for line in content.split(b"\n"):
        address, *names = line.split(b"#")[0].split() or [b""]
        found += [(address, name.lower()) for name in names]
    return found


@given(FILES, MANAGED)
def test_any_file_any_names_each_stands_once_and_leads_where_it_should(before: bytes, names: dict[str, str]) -> None:
    """Two lines for a name are two addresses for it: some connections would go to the sealed primary."""
    managed = {name.encode(): address.encode() for name, address in names.items()}
    after = read(with_managed(before, names))
    assert sorted(entry for entry in after if entry[1] in managed) == sorted((a, n) for n, a in managed.items())


@given(FILES, MANAGED)
def test_any_file_everything_else_stays(before: bytes, names: dict[str, str]) -> None:
    """Another name that vanished or moved is an outage of something pgleap knows nothing of."""
    managed = {name.encode() for name in names}
    after = with_managed(before, names)
    assert [e for e in read(after) if e[1] not in managed] == [e for e in read(before) if e[1] not in managed]
    untouched = [
        line
        for line in before.split(b"\n")
        if line and not managed & {word.lower() for word in line.split(b"#")[0].split()[1:]}
    ]
    left = iter(after.split(b"\n"))
    assert all(line in left for line in untouched), "every other line, to the byte and in order"


@given(FILES, MANAGED)
def test_any_file_applying_twice_is_applying_once(before: bytes, names: dict[str, str]) -> None:
    """A second run that changes the file again would never end, and reload the server's program each time."""
    once = with_managed(before, names)
    assert with_managed(once, names) == once


@given(FILES, MANAGED)
def test_any_file_goes_back_to_the_byte(before: bytes, names: dict[str, str]) -> None:
    """ "As they were" means the very bytes: whoever compares checksums must find nothing."""
    assert put_back(before, names, with_managed(before, names)) == before


@given(
    FILES, MANAGED, st.lists(st.sampled_from([b"10.4.4.4 new", b"# new", b"10.4.4.4 new db1.x"]), min_size=1), st.data()
)
def test_any_file_others_lines_outlive_the_window(
    before: bytes, names: dict[str, str], added: list[bytes], data: st.DataObject
) -> None:
    """Lines that others added anywhere stay, and the managed names lead where they did before, and only there."""
    lines = with_managed(before, names).split(b"\n")
    for line in added:
        lines.insert(data.draw(st.integers(0, len(lines))), line)
    now = b"\n".join(lines)
    managed = {name.encode() for name in names}
    back = put_back(before, names, now)
    assert sorted(e for e in read(back) if e[1] in managed) == sorted(e for e in read(before) if e[1] in managed)
    assert sorted(e for e in read(back) if e[1] not in managed) == sorted(e for e in read(now) if e[1] not in managed)
    assert back.count(b"# new") >= added.count(b"# new")


@given(FILES, MANAGED, FILES)
def test_any_file_whatever_others_made_of_it_names_go_back(before: bytes, names: dict[str, str], now: bytes) -> None:
    """Even a file made anew by another tool must not leave a name at DB_B after the way back."""
    managed = {name.encode() for name in names}
    back = put_back(before, names, now)
    assert sorted(e for e in read(back) if e[1] in managed) == sorted(e for e in read(before) if e[1] in managed)
    others = [e for e in read(now) if e[1] not in managed]
    assert all(e in read(back) for e in others)


@given(
    FILES, MANAGED, st.lists(st.sampled_from([b"10.4.4.4 new", b"# new", b"10.4.4.4 new db1.x"]), min_size=1), st.data()
)
def test_any_file_taking_edits_over_twice_is_taking_them_over_once(
    before: bytes, names: dict[str, str], added: list[bytes], data: st.DataObject
) -> None:
    """A run that died between its record and the file takes the same edits over again: no line may double."""
    lines = with_managed(before, names).split(b"\n")
    for line in added:
        lines.insert(data.draw(st.integers(0, len(lines))), line)
    now = b"\n".join(lines)
    back = put_back(before, names, now)
    assert sorted(read(put_back(back, names, now))) == sorted(read(back))
