"""What of a schema fails in the window as well, told from what the lab lacks."""

from __future__ import annotations

from rehearsal.data.own_faults import of_trial
from rehearsal.data.restore import Failed, Restored, failed
from rehearsal.rehearse import Judgement

TEXT = """\
--
-- Name: base_rate(); Type: FUNCTION; Schema: public; Owner: app
--

CREATE FUNCTION public.base_rate() RETURNS numeric
    LANGUAGE sql AS $$ SELECT 1.2 $$;

--
-- Name: items; Type: TABLE; Schema: public; Owner: app
--

CREATE TABLE public.items (net numeric, gross numeric GENERATED ALWAYS AS (public.gross(net)) STORED);

--
-- Name: near; Type: INDEX; Schema: public; Owner: app
--

CREATE INDEX near ON public.places USING gist (public.st_near(at));
"""
LINES = TEXT.splitlines()
TABLE, INDEX = (
    1 + next(at for at, line in enumerate(LINES) if words in line) for words in ("CREATE TABLE", "CREATE INDEX")
)
PRINTED = f"""\
psql:<stdin>:{TABLE}: ERROR:  function base_rate() does not exist
LINE 1:  SELECT $1 * base_rate()
HINT:  No function matches the given name and argument types.
QUERY:   SELECT $1 * base_rate()
CONTEXT:  SQL function "gross" during inlining
psql:<stdin>:{INDEX}: ERROR:  function public.st_near(text) does not exist
"""


def test_a_function_that_names_others_without_schema_fails_in_the_window() -> None:
    """Called something that the lab lacks, it is shrugged off, and met in the night."""
    found = failed(PRINTED, TEXT, ["postgis"])
    assert [(one.what, one.own) for one in found] == [("TABLE public.items", True), ("INDEX public.near", False)]
    restored = Restored("shop", {"tables": 1}, ("postgis",), tuple(found))
    assert restored.fails_in_window == [
        "this fails in your window: shop: TABLE public.items: function base_rate() does not exist"
    ]
    assert not any("items" in one for one in restored.not_rehearsed)
    assert any("near" in one for one in restored.not_rehearsed)


def test_what_a_missing_extension_would_have_made_is_the_labs_lack() -> None:
    """The fleet has the extension: an alarm over each index of it is soon read by nobody."""
    printed = PRINTED.replace("base_rate()", "st_rate()")
    assert [one.own for one in failed(printed, TEXT, ["postgis"])] == [False, False]
    assert [one.own for one in failed(printed, TEXT, [])] == [True, False]


def test_it_is_a_complaint() -> None:
    """A rehearsal that ends with 0 is a promise."""
    judged = Judgement(fails=Restored("shop", {}, (), (Failed("TABLE public.items", "no", own=True),)).fails_in_window)
    assert "this fails in your window: shop: TABLE public.items: no" in judged.complaints()


def test_what_the_schema_trial_refused_is_told_by_object() -> None:
    """The engine's whole output with a refusal somewhere in it reads like a fault of the lab's."""
    said = """\
  command:remote:Command (db-a-database): error: pgleap: refused. Expected: every object of the old cluster to be restored into the new
version's, as pg_upgrade does it in the window. Found: shop: TABLE public child1: ERROR: no -- drop it; crm: INDEX public i: ERROR: none -- do.
To do: nothing
"""
    said = (
        said.replace("To do: nothing", "To do: mend each on the old primary")
        .replace("new\nversion", "new version")
        .replace("do.\nTo", "do. To")
    )
    assert of_trial(said) == [
        "this fails in your window: shop: TABLE public child1: ERROR: no -- drop it",
        "this fails in your window: crm: INDEX public i: ERROR: none -- do",
    ]
    assert of_trial("error: something else. Found: nothing. To do: x") == []
