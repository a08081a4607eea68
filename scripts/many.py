"""One desired state for many servers: what each of them is asked for, and what they came to together. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from scripts.local_step import Desired
from scripts.report import Facts, Refusal

# What is said of the servers and of the way to them, and not to them.
NOT_SHARED = ("servers", "verb", "ssh")
NOT_ITS_OWN = ("hostKey",)
# So many servers are named in a refusal; each that failed was told of in a line of its own.
NAMED = 5


def each_of(desired: Desired) -> dict[str, Desired]:
    """By server: what all are asked for alike, and what is each one's own."""
    shared = {key: value for key, value in desired.items() if key not in NOT_SHARED}
    return {
        name: {"server": name, **shared, **{key: value for key, value in own.items() if key not in NOT_ITS_OWN}}
        for name, own in desired["servers"].items()
    }


def together(found: Mapping[str, Facts]) -> Facts:
    """The facts of all servers as one line's, which has to stay short."""
    changed = [name for name, facts in found.items() if facts["changed"]]
    already = len(found) - len(changed)
    return {
        "changed": changed,
        "because": f"{len(found)} servers are as they are wanted, {already} of them were already",
    }


def refusal(expected: str, failed: Mapping[str, str], servers: int) -> Refusal:
    """Of `servers` in all, those that `failed` (name -> why). What was `expected` of each begins the sentence."""
    named = [f"{name}: {why}" for name, why in list(failed.items())[:NAMED]]
    more = [f"and {len(failed) - NAMED} more, each in a line above"] if len(failed) > NAMED else []
    return Refusal(
        f"{expected}, for all of {servers} servers",
        f"{servers - len(failed)} are done, {len(failed)} are not: {'; '.join([*named, *more])}",
        "see to them, then `pulumi up` again; a server that is gone for good: `lost: true` in pgleap:servers",
    )
