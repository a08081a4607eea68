"""`python -m rehearsal inside`: a command among the image's two PostgreSQL versions, with this machine left as it was."""

import subprocess
import sys
from pathlib import Path

import pytest

from rehearsal.lab import packages
from rehearsal.lab.fleet import NEW_VERSION, OLD_VERSION
from rehearsal.lab.place import REPOSITORY

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(packages.why_not() is not None, reason=str(packages.why_not())),
]


def inside(*command: str) -> subprocess.CompletedProcess[str]:
    whole = [sys.executable, "-m", "rehearsal", "inside", "--", *command]
    return subprocess.run(whole, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=600)


def test_both_versions_run_for_the_tests_and_for_their_servers_user() -> None:
    """With one version there the tests that need two are skipped, and the run is green."""
    look = "from tests.unit.own_server import BINARIES; import psycopg, psycopg2; print(*(path.parent.name for path in BINARIES))"
    done = inside(sys.executable, "-c", look)
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, [f"{OLD_VERSION} {NEW_VERSION}"]), done.stderr
    for version in (OLD_VERSION, NEW_VERSION):
        done = inside("runuser", "-u", "postgres", "--", f"/usr/lib/postgresql/{version}/bin/postgres", "--version")
        assert f"(PostgreSQL) {version}." in done.stdout, done.stderr


def test_the_exit_status_is_the_commands() -> None:
    """Tests that failed inside would pass for tests that passed."""
    assert inside("sh", "-c", "exit 7").returncode == 7
    assert inside("/no/such/program").returncode != 0
    assert inside("sh", "-c", "kill -9 $$").returncode != 0


def test_nothing_is_left(tmp_path: Path) -> None:
    """A mount that stays holds the image for ever; a file that stays changes it for every server of the lab to come; a server that
    stays holds its port."""
    name = f"inside-{tmp_path.name}"
    seen = REPOSITORY / ".cache" / name
    seen.parent.mkdir(exist_ok=True)
    places = [Path("/tmp", name), Path("/dev/shm", name), Path("/etc", name)]
    spoil = 'touch "$@"; mount -t tmpfs "$0" /mnt; setsid sleep 4711.25 & sleep 0.2'
    try:
        assert inside("sh", "-euc", spoil, name, str(seen), *map(str, places)).returncode == 0
        assert seen.exists(), "the repository is the one that is tested"
    finally:
        seen.unlink(missing_ok=True)
    assert not [line for line in Path("/proc/mounts").read_text().splitlines() if "inside" in line.split()[0]]
    assert not any(place.exists() for place in places)
    assert inside("sh", "-c", 'ls -d "$@"', "sh", *map(str, places)).stdout == ""
    running = subprocess.run(["ps", "-e", "-o", "args"], capture_output=True, text=True, check=True).stdout
    assert "sleep 4711.25" not in running.splitlines()
