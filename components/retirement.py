"""Retirement: the end of the old database servers."""

from __future__ import annotations

from typing import ClassVar

from agent.states import Verb
from components.part import LocalPart, PartArgs, ServerPart


class UnusedArgs(PartArgs):
    """`desired`: the old cluster, and for how many seconds it is watched."""


class Unused(ServerPart):
    """Refuses to go on while anybody is connected to an old database server, and names who."""

    verb: ClassVar[Verb] = Verb.UNUSED


class RetirementArgs(PartArgs):
    """`desired`: the old cluster."""


class Retirement(ServerPart):
    """Stops and disables the PostgreSQL of an old database server; its files stay."""

    verb: ClassVar[Verb] = Verb.RETIREMENT


class RetiredInstanceArgs(PartArgs):
    """`desired`: the instance, that it is to be terminated, and the region."""


class RetiredInstance(LocalPart):
    """An old database's EC2 instance, terminated once final snapshots of its volumes are complete."""

    module: ClassVar[str] = "scripts.retire_instances"
