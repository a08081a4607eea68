"""How the SDK waits for what a program declared."""

from __future__ import annotations

import asyncio

from pulumi.runtime.settings import _get_rpc_manager


def begin() -> None:
    """To be called at a program's end: the SDK waits for every registration first, and for values only then.

    It means to, but when the program ends no registration has had its turn to begin. So it would wait for all values at once, and look at
    each of them anew whenever one is there (pulumi/runtime/stack.py, `wait_for_rpcs`, 3.250), which grows with the square of the fleet:
    with 120 servers a preview took 27 s, and takes 10 s (two cores). One turn of the loop is enough.
    """
    _get_rpc_manager().rpcs.append(asyncio.ensure_future(asyncio.sleep(0)))
