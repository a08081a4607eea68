"""One PostgreSQL server for each module of tests; a test that plants a fault takes it away again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.preflight.databases import Database, running


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with running(tmp_path_factory.mktemp("database"), {"max_prepared_transactions": "5"}) as found:
        yield found
