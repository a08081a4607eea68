"""What both sides hold, compared and set on servers of two versions: tables by their names, rows by all their columns, sequences one by one."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from agent import coming_back, comparison, functions, sequences
from agent.coming_back import Wanted
from agent.qualified import Qualified
from agent.report import Refusal
from agent.sequences import Value
from tests.agent.two_sides import NEEDS_POSTGRESQL, Side, Sides, two_sides

pytestmark = NEEDS_POSTGRESQL
# Words that one version quotes and another one does not, and what no version takes without quotes.
NAMES = (
    "json", "json_table", "json_value", "json_query", "json_exists", "json_object", "json_array", "json_scalar", "json_serialize",
    "json_objectagg", "json_arrayagg", "merge_action", "system_user", "Mixed", 'with "quotes"', "dotted.name", "o'brien", "bücher",
    "two\nlines", "percent %s %I %1$L", "back\\slash", "\"", "one", ":'variable'", "日本", "tab\there", "{}",
)  # fmt: skip
SUBSCRIBED = (
    "SELECT n.nspname AS schema, c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
)
ORDINARY = f"{SUBSCRIBED} WHERE c.relkind = 'r' AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'"


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


@pytest.fixture(scope="module")
def sides() -> Iterator[Sides]:
    with two_sides() as found:
        yield found


@pytest.fixture
def shop(sides: Sides) -> Iterator[str]:
    """A database on both sides, gone afterwards."""
    sides.make_database("shop")
    yield "shop"
    sides.both("DROP DATABASE shop WITH (FORCE);")


def held(side: Side, database: str, wholly: bool = True) -> comparison.Held:
    return comparison.held(side.postgres.execute(comparison.script(ORDINARY, wholly), database), database)


def test_names_are_the_same_on_both_sides(sides: Sides, shop: str) -> None:
    """Every way back ended in `public."json" is only on DB_A; public.json is only on the old primary`."""
    names = ", ".join(literal(name) for name in NAMES)
    in_each = ("json", "merge_action", "Mixed", 'with "quotes"', "dotted.name", "two\nlines")
    schemas = ", ".join(literal(name) for name in in_each)
    sides.both(f"SELECT format('CREATE SCHEMA %I', n) FROM unnest(ARRAY[{names}]) n \\gexec\n"
               f"SELECT format('CREATE TABLE %I.%I (id int); INSERT INTO %1$I.%2$I VALUES (1); CREATE SEQUENCE %1$I.%3$I', s, t, t || '_s')"
               f" FROM unnest(ARRAY[{schemas}]) s, unnest(ARRAY[{names}]) t \\gexec", shop)  # fmt: skip
    wanted = {Qualified(schema, name) for schema in in_each for name in NAMES}
    here, there = held(sides.old, shop), held(sides.new, shop)
    assert here.tables.keys() == wanted
    assert here == there
    assert comparison.compare(shop, here.tables, there.tables) == []
    assert here.sequences.keys() == {Qualified(name.schema, f"{name.name}_s") for name in wanted}
    # The other side reads the same over the network, and sequences are set by the same names.
    assert sequences.read(sides.new.other(), [shop], 1) == {shop: there.sequences}
    moved = {name: Value(number, number % 2 == 0) for number, name in enumerate(there.sequences, 1)}
    assert sequences.set_all(sides.old.postgres, {shop: moved}, 1) == sequences.Done(len(moved) - 1, [])
    assert held(sides.old, shop).sequences == moved


@pytest.mark.parametrize("name", ["one", "rows", "digest", "name", "tables", "schema", "t", "x", "md5", "wholly"])
def test_every_column_is_compared_whatever_it_is_called(sides: Sides, shop: str, name: str) -> None:
    """A column that is taken for the whole row hides what the others hold."""
    sides.both(f"CREATE TABLE kept ({name} text, other int); INSERT INTO kept VALUES ('same', 1)", shop)
    assert held(sides.old, shop) == held(sides.new, shop)
    sides.new.sql("UPDATE kept SET other = 2", shop)
    difference = comparison.compare(shop, held(sides.old, shop).tables, held(sides.new, shop).tables)
    assert difference == ["shop: public.kept has other rows on DB_A than here"]


def test_more_tables_than_the_locks_of_a_transaction(sides: Sides, shop: str) -> None:
    """All in one transaction, reading them ended in `out of shared memory`, with writes refused."""
    sides.new.sql("CREATE TABLE t (id int PRIMARY KEY, a int UNIQUE, b int UNIQUE)", shop)
    sides.new.sql("SELECT format('CREATE TABLE t%s (LIKE t INCLUDING ALL)', g) FROM generate_series(1, 450) g \\gexec\n"
                  "SELECT format('CREATE SEQUENCE s%s', g) FROM generate_series(1, 450) g \\gexec", shop)  # fmt: skip
    most = comparison.held(sides.new.postgres.execute(f"""
        CREATE FUNCTION pgleap.most() RETURNS text LANGUAGE sql AS $$ SELECT count(*)::text FROM pg_locks WHERE pid = pg_backend_pid() $$;
        {comparison.script(ORDINARY, True).replace("json_build_array(schema, name, rows, digest)", "json_build_array(schema, name, rows, pgleap.most())")}
        """, shop, writing=True), shop)  # fmt: skip
    assert len(most.tables) == len(most.sequences) + 1 == 451
    assert max(int(locks) for _, locks in most.tables.values()) < 1_000


def test_other_functions_are_told(sides: Sides, shop: str) -> None:
    """`function pgleap.contents(json, boolean) does not exist` helps nobody at night."""
    for words in ("COMMENT ON SCHEMA pgleap IS 'pgleap of before'", "DROP SCHEMA pgleap CASCADE"):
        sides.new.sql(words, shop)
        with pytest.raises(Refusal) as refused:
            held(sides.new, shop)
        assert "functions of the schema pgleap in shop" in refused.value.expected
    assert functions.WITHOUT not in sides.old.postgres.execute(comparison.script(ORDINARY, True), shop)


def wanted(accepted: bool = False) -> Wanted:
    return Wanted(replay_seconds=10, wholly=True, reads_from="", jobs=2, next_round=3)


def altered(sides: Sides, shop: str) -> comparison.Difference:
    """A sequence that was made longer on DB_A, and has passed its end here, among others."""
    sides.both(
        "CREATE TABLE small (id serial); CREATE SEQUENCE down INCREMENT -2 MINVALUE -100; CREATE SEQUENCE other;", shop
    )
    sides.both("CREATE SEQUENCE gone", shop)
    sides.old.sql("CREATE SEQUENCE stays", shop)
    sides.new.sql("ALTER SEQUENCE small_id_seq AS bigint; SELECT setval('small_id_seq', 3000000000);"
                  " SELECT setval('down', -21); SELECT setval('other', 77, false); CREATE SEQUENCE fresh", shop)  # fmt: skip
    return comparison.differing(sides.old.postgres, sides.new.other(), [shop], True, 2)


def test_a_sequence_that_cannot_be_set_is_named_and_holds_up_no_other(sides: Sides, shop: str) -> None:
    """One of them ended the way back; what to do about it must work as it is printed."""
    difference = altered(sides, shop)
    assert difference.tables == []
    assert difference.one_sided == [
        "shop: the sequence public.fresh is only on DB_A",
        "shop: the sequence public.stays is only on the old primary",
    ]
    with pytest.raises(Refusal) as refused:
        coming_back.settle(sides.old.postgres, sides.new.other(), difference, wanted(), accepted=False)
    assert "shop: the sequence public.small_id_seq is at 3000000000 on DB_A" in refused.value.found
    assert "out of bounds" in refused.value.found
    values = held(sides.old, shop).sequences
    assert values[Qualified("public", "down")] == (-21, True)
    assert values[Qualified("public", "other")] == (77, False)
    by_hand = refused.value.do.partition("as root on this server: ")[2].partition("; then: pulumi")[0]
    done = subprocess.run(["sh", "-c", by_hand], capture_output=True, text=True, check=False)
    assert done.returncode == 0, (by_hand, done.stderr)
    said = coming_back.settle(sides.old.postgres, sides.new.other(), difference, wanted(), accepted=False)
    assert "set 1 sequences" in said
    assert held(sides.old, shop).sequences[Qualified("public", "small_id_seq")] == (3_000_000_000, True)


def test_by_a_persons_word_it_is_set_as_far_as_it_goes_and_nothing_else_is_given_up(sides: Sides, shop: str) -> None:
    """Everything had been applied, and `at most 36271 transactions` were told to be lost; every sequence was put 10,000 on."""
    difference = altered(sides, shop)
    said = coming_back.settle(sides.old.postgres, sides.new.other(), difference, wanted(), accepted=True)
    assert any(
        "public.small_id_seq is at 3000000000 on DB_A" in one and "it was set to 2147483647" in one for one in said
    )
    assert not any("transactions" in one or "gave up" in one for one in said)
    values = held(sides.old, shop).sequences
    assert values[Qualified("public", "small_id_seq")] == (2_147_483_647, True)
    assert values[Qualified("public", "down")] == (-21, True)
    assert values[Qualified("public", "other")] == (77, False)
