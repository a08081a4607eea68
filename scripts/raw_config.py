"""A stack's config as `pulumi config --json` lists it. Pure, and light: scripts/window reads its stack while the rest is imported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.config_errors import NAMESPACE


def raw_config(listed: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What Settings takes, from `pulumi config --json`. Pure.

    Objects come decoded beside their text; of a secret there is only that it is one, which is all that is asked of it.
    """
    raw: dict[str, Any] = {}
    for key, entry in listed.items():
        namespace, _, name = key.partition(":")
        if namespace == NAMESPACE:
            raw[name] = entry.get("objectValue", entry.get("value", "a secret" if entry.get("secret") else None))
    return raw
