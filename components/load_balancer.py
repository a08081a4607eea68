"""LoadBalancer: whether the drained servers are in their load balancer."""

from __future__ import annotations

from typing import ClassVar

from components.part import ManyArgs, ManyServersPart


class LoadBalancerArgs(ManyArgs):
    """`desired`: membership (in or out) and the seconds it may take; each one's own target groups, or the command that is run for it."""


class LoadBalancer(ManyServersPart):
    """The membership of all drained servers; out is when their connections have drained, in is when they are healthy."""

    module: ClassVar[str] = "scripts.load_balancer"
