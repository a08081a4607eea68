"""What clients of the fleet's own roles prove themselves with."""

from __future__ import annotations

from functools import cache

from agent import credentials
from tests.model.cluster import Cluster

# As the stack config has it (tests/unit/example_config.py); new replicas stream by it.
REPLICATION_PASSWORD = "battery staple"


@cache
def replication_verifier() -> str:
    return credentials.scram_verifier(REPLICATION_PASSWORD, b"the fleet's salt")


def knows(cluster: Cluster, user: str, password: str | None) -> bool:
    """Whether this password is the role's there."""
    return password is not None and _verifies(cluster.catalog.get(f"role {user}", ""), password)


@cache
def _verifies(verifier: str, password: str) -> bool:
    """As the product does it; 4,096 rounds of hashing at each login would be all that these tests do."""
    return credentials.verifies(verifier, password)
