"""One PostgreSQL server for each module of tests; a test that plants a fault takes it away again."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.preflight.databases import Database, running


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    # Not below pytest's own folder: every pytest that starts makes that its user's alone again.
    with (
        tempfile.TemporaryDirectory(prefix="pgleap-") as folder,
        running(Path(folder), {"max_prepared_transactions": "5"}) as found,
    ):
        yield found
