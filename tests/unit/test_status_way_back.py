"""The answer to: is there a way back that loses nothing?"""

from __future__ import annotations

from typing import Any

import pytest

from components.settings import Settings
from scripts.drift import Seen
from scripts.way_back import Kind, WayBack, way_back
from tests.unit.example_config import config

FOLLOWS = {
    "follows": {"shop": {"behindBytes": 10, "slot": "reserved", "headroomBytes": None, "works": True}},
    "against": [],
    "behindSeconds": 0,
    "copiedSecondsAgo": 3.2,
}


def answer(phase: str, primary: Any, target: Any, **more: Any) -> WayBack:
    settings = Settings.from_config({**config(), "phase": phase, **more})
    seen = {name: Seen({}) for name in settings.servers}
    seen["db1"], seen["db-a"] = (
        Seen({"stream": one}) if isinstance(one, dict) else Seen(None, one) for one in (primary, target)
    )
    return way_back(settings, seen)


@pytest.mark.parametrize(
    ("primary", "target", "kind", "words"),
    [
        (FOLLOWS, {"changes": [], "notCovered": []}, Kind.YES, ""),
        (FOLLOWS, {"changes": [], "notCovered": ["shop: public.log (no key)"]}, Kind.YES_BUT, "public.log"),
        (FOLLOWS, {"changes": ["shop: table public.new was made"], "notCovered": []}, Kind.NO, "public.new"),
        ({**FOLLOWS, "against": ["shop stopped following"]}, {"changes": []}, Kind.NO, "stopped"),
        ({}, {"changes": []}, Kind.NO, "does not follow"),
        (FOLLOWS, "not reached: time-out", Kind.NO, "db-a does not say"),
        ({"not seen": "db-a does not answer"}, {"changes": []}, Kind.NO, "db-a does not answer"),
    ],
)
def test_the_answer_in_cutover(primary: Any, target: Any, kind: Kind, words: str) -> None:
    """A yes that nobody has looked for is what a company's night is risked on."""
    found = answer("cutover", primary, target)
    assert found.kind is kind
    assert not found.after_cutover
    assert words in " ".join(found.sentences)


def test_before_cutover_it_is_told_what_will_be() -> None:
    """After cutover it is too late to raise a limit that wants a restart."""
    ahead = {"ahead": {"notCovered": ["shop: public.log (no key)"], "against": ["max_worker_processes is 8"]}}
    found = answer("prepare", ahead, {})
    assert found.after_cutover
    assert (found.kind, found.sentences) == (Kind.NO, ["max_worker_processes is 8"])


def test_a_stack_without_a_stream_has_no_such_way() -> None:
    """Switched off it must not look as if it were only not there yet."""
    assert answer("cutover", FOLLOWS, {}, reverseReplication={"enabled": False}).kind is Kind.NO


def test_how_far_the_stream_is_is_shown() -> None:
    """Lag and room are what an operator looks at before the morning."""
    told = " ".join(answer("cutover", FOLLOWS, {"changes": [], "notCovered": []}).stream)
    assert "shop: 10 bytes behind" in told
    assert "copied 3.2 s ago" in told
