"""What of a schema fails for its own sake: in the lab, and in the window as well. Pure.

A dump is restored without a search_path, here and by pg_upgrade alike. What PostgreSQL runs meanwhile (the functions of an index, a generated
column, a key, a check) finds nothing that it does not name with its schema.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

IN_THE_WINDOW = "this fails in your window"
_MISSING = re.compile(r'(?:function|relation|type|operator|table) "?([^\s"(]+)"?.* does not exist')
_RUNS = re.compile(r"^(?:CONTEXT|QUERY): ", re.MULTILINE)
# As agent.trial refuses `prepare`, in the words of the operator's terminal.
_REFUSED = re.compile(
    r"every object of the old cluster to be restored into the new version's.*? Found: (?P<found>.*?)\. To do: mend each",
    re.DOTALL,
)


def is_own(message: str, more: str, text: str, missing: Sequence[str]) -> bool:
    """Whether a statement was refused over the schema itself, and not over what the lab has not. `more` are the lines below the message,
    `text` is the schema, `missing` are the extensions that the lab has not."""
    name = _MISSING.search(message)
    if name is None or not _RUNS.search(more):
        return False
    # It may be an extension's that is missing here and there in the fleet, unless the schema makes it.
    return not missing or _is_made(name[1].rpartition(".")[2], text)


def _is_made(name: str, text: str) -> bool:
    made = rf'^CREATE (?:OR REPLACE )?(?:FUNCTION|TABLE|TYPE|VIEW|OPERATOR|DOMAIN|SEQUENCE)\s+(?:\S+\.)?"?{re.escape(name)}\b'
    return re.search(made, text, re.MULTILINE) is not None


def of_trial(said: str) -> list[str]:
    """What the schema trial in `prepare` found, from what the `up` that it refused printed."""
    refused = _REFUSED.search(said)
    if refused is None:
        return []
    return [f"{IN_THE_WINDOW}: {' '.join(one.split())}" for one in refused["found"].split("; ")]
