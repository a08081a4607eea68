"""The commands that refusals advise, as they are typed. Pure; one place computes rounds, so that no two programs advise different ones.

An advised command is accepted in the state in which it is advised (design invariant 7): tests/model/test_advice.py types each of them.
"""

from __future__ import annotations

from agent.states import Phase

UP = "pulumi up"
PREVIEW = "pulumi preview"
# What acceptDataLoss said is said no more.
TAKE_BACK_THE_WORD = "pulumi config rm acceptDataLoss && pulumi preview"


def higher(*seen: int) -> int:
    """A round that nobody has seen: one above all of these."""
    return max(seen) + 1


def to(phase: Phase, round_: int) -> str:
    """Go to `phase`, every step looking again."""
    return f"pulumi config set phase {phase} && {again(round_)}"


def again(round_: int) -> str:
    """The phase that the stack asks for once more, every step looking again."""
    return f"pulumi config set round {round_} && {UP}"


def back_over_upgrade(round_: int) -> str:
    """The way back from a release, DB_A open or not: DB_A is sealed and the authority taken back, then the old primary opens."""
    return f"{to(Phase.UPGRADE, round_)} && {to(Phase.PREPARE, round_ + 1)}"


def over_upgrade(round_: int) -> str:
    """The authority is taken back, and DB_A fenced again if it had opened; then it is released anew."""
    return f"{to(Phase.UPGRADE, round_)} && {to(Phase.CUTOVER, round_ + 1)}"


def sealed_again(round_: int) -> str:
    """What to do where the old primary's seal was found open on the way to cutover."""
    return f"have it sealed again: {over_upgrade(round_)}; or go back: {back_over_upgrade(round_)}"


def without_the_word(phase: Phase, round_: int) -> str:
    """Go to `phase`, where acceptDataLoss means nothing and is not to stay."""
    return f"pulumi config rm acceptDataLoss && {to(phase, round_)}"


def give_up(phase: Phase, round_: int) -> str:
    """Go to `phase` and give up what only DB_A has, by a person's word."""
    return f"pulumi config set acceptDataLoss true && {to(phase, round_)}"


def lost(server: str, then: str) -> str:
    """Say that a server is gone for good, and go on with `then`."""
    return f"pulumi config set --path servers.{server}.lost true && {then}"
