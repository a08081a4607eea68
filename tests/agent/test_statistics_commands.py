"""What the unit that gathers statistics calls, with stand-ins for PostgreSQL's programs."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from agent import statistics
from agent.cluster import from_desired
from agent.postgres import Postgres
from tests.agent.fake_server import FakeServer

STAGES, WHOLE = ["--analyze-in-stages", "--missing-stats-only"], ["--analyze-only"]
# Of all databases it ends at the table `unfit`; so it does in that table's own.
VACUUMDB = """#!/bin/sh
echo "vacuumdb $*" >> {log}
case "$*" in *--all*|*app*) [ -e {unfit} ] && exit 1;; esac
exit 0
"""
PSQL = """#!/bin/sh
echo "psql $*" >> {log}
case "$*" in
  *pg_database*) printf '%s\\n' "dbname='app'" "dbname='zeta'";;
  *pg_class*) echo 'ANALYZE public.unfit;';;
  *) cat >> {log};;
esac
"""


class Programs:
    """PostgreSQL's programs of a version, which write down how they are called."""

    def __init__(self, folder: Path, version: int) -> None:
        self.log, self.unfit = folder / "log", folder / "unfit"
        server = FakeServer(folder)
        cluster = {
            "version": version,
            "layout": "debian",
            "cluster": "main",
            "port": 5432,
            "superuser": "postgres",
            "bin": str(folder),
        }
        self.postgres = Postgres(server, from_desired(cluster), "10.0.0.14")
        self.owed = server.path(statistics.OWED_FILE)
        statistics.owe(server)
        for name, text in (("vacuumdb", VACUUMDB), ("psql", PSQL)):
            file = folder / name
            file.write_text(text.format(log=self.log, unfit=self.unfit))
            file.chmod(0o755)

    def gather(self) -> int:
        command = [str(self.owed) if one == statistics.OWED_FILE else one for one in statistics.unit(self.postgres, 3)]
        return subprocess.run(command, check=False, capture_output=True).returncode

    @property
    def called(self) -> list[str]:
        return self.log.read_text().splitlines()


@pytest.mark.parametrize(
    ("version", "passes"), [(13, [["--analyze-in-stages"]]), (17, [["--analyze-in-stages"]]), (18, [STAGES, WHOLE])]
)
def test_the_commands_that_pg_upgrade_names(tmp_path: Path, version: int, passes: list[list[str]]) -> None:
    """From 18 on n_live_tup is 0 without the second one: autovacuum leaves a table of millions alone until as many rows have changed."""
    programs = Programs(tmp_path, version)
    assert programs.gather() == 0
    assert programs.called == [f"vacuumdb --all --jobs=3 {' '.join(options)}" for options in passes]
    assert not programs.owed.exists()


def test_an_error_ends_neither_of_them(tmp_path: Path) -> None:
    """One table that cannot be analyzed left all databases after it without statistics, and the second command uncalled."""
    programs = Programs(tmp_path, 18)
    programs.unfit.touch()
    assert programs.gather() == 1
    for options in (STAGES, WHOLE):
        for database in ("app", "zeta"):
            assert f"vacuumdb -d dbname='{database}' --jobs=3 {' '.join(options)}" in programs.called
    assert programs.called.count("ANALYZE public.unfit;") == 2
    assert programs.called.count("psql -XAtqb -d dbname='app'") == 2, (
        "the database without an error is analyzed at once"
    )
    assert "psql -XAtqb -d dbname='zeta'" not in programs.called
    assert programs.owed.exists()
    programs.unfit.unlink()
    assert programs.gather() == 0
    assert not programs.owed.exists()
