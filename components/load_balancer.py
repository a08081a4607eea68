"""LoadBalancer: whether a drained server is in its load balancer."""

from __future__ import annotations

from typing import ClassVar

from components.part import LocalPart, PartArgs


class LoadBalancerArgs(PartArgs):
    """`desired`: membership (in or out), the seconds it may take, and the target groups with what AWS asks for, or a command."""


class LoadBalancer(LocalPart):
    """One drained server's membership; out is when its connections have drained, in is when it is healthy."""

    module: ClassVar[str] = "scripts.load_balancer"
