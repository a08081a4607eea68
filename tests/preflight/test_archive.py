"""DB_A's archive beside the old primary's."""

from __future__ import annotations

import pytest

from agent.check_names import CheckName
from agent.checks import archive
from tests.preflight.databases import BINARIES, Database


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("test ! -f /mnt/archive/%f && cp %p /mnt/archive/%f", "cp %p /mnt/archive/%f"),
        ("cp %p '/mnt/archive'/%f", 'cp "%p" "/mnt/archive/%f"'),
        (
            "pgbackrest --stanza=main archive-push %p",
            "/usr/bin/pgbackrest --stanza main --log-level-console=info archive-push %p",
        ),
        ("envdir /etc/wal-g.d/env wal-g wal-push %p", "envdir /etc/wal-g.d/env /usr/local/bin/wal-g wal-push %p"),
        ("aws s3 cp %p s3://bucket/wal/%f", "aws s3 cp --no-progress %p s3://bucket/wal/%f"),
    ],
)
def test_the_same_place_in_other_words(theirs: str, ours: str) -> None:
    """Two histories in one archive are found out on the day of a restore."""
    assert archive.places(theirs) & archive.places(ours)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (
            "test ! -f /mnt/archive/%f && cp %p /mnt/archive/%f",
            "test ! -f /mnt/archive17/%f && cp %p /mnt/archive17/%f",
        ),
        (
            "pgbackrest --config=/etc/pgbackrest.conf --stanza=main archive-push %p",
            "pgbackrest --config=/etc/pgbackrest.conf --stanza=main17 archive-push %p",
        ),
        ("/usr/bin/aws s3 cp %p s3://bucket/15/%f", "/usr/bin/aws s3 cp %p s3://bucket/17/%f"),
        ("/bin/true", "/bin/true || /bin/false 2>/dev/null"),
        (
            'rsync -e "ssh -i /var/lib/postgresql/.ssh/archive" %p backup:/srv/15/%f >> /var/log/archive.log 2>&1',
            'rsync -e "ssh -i /var/lib/postgresql/.ssh/archive" %p backup:/srv/17/%f >> /var/log/archive.log 2>&1',
        ),
        ("flock /srv/archive.lock cp %p /srv/15/%f", "flock /srv/archive.lock cp %p /srv/17/%f"),
        (
            "AWS_CONFIG_FILE=/var/lib/postgresql/.aws/config aws s3 cp %p s3://bucket/15/%f",
            "AWS_CONFIG_FILE=/var/lib/postgresql/.aws/config aws s3 cp %p s3://bucket/17/%f",
        ),
        ("test -s %p", "test -s %p && true"),
    ],
)
def test_another_place(theirs: str, ours: str) -> None:
    """A program or configuration in common is no place in common: such a refusal would be accepted, and then all others too."""
    assert not archive.places(theirs) & archive.places(ours)


@pytest.mark.postgres
@pytest.mark.skipif(not BINARIES, reason="no PostgreSQL server at /usr/lib/postgresql/*/bin")
def test_on_the_old_primary(database: Database) -> None:
    """Without a word in the stack DB_A archives nowhere, and nobody notices before a restore."""
    before = dict(database.settings)
    assert database.found(CheckName.ARCHIVE, archiveCommand="cp %p /tmp/there/%f") == []
    assert database.found(CheckName.ARCHIVE_MISSING) == []
    database.restart(archive_mode="on", archive_command="test ! -e /tmp/none/%f || cp %p /tmp/none/%f")
    try:
        assert database.found(CheckName.ARCHIVE) == []
        (missing,) = database.found(CheckName.ARCHIVE_MISSING)
        assert missing.endswith("and the stack names no archiveCommand for DB_A")
        elsewhere = "cp %p /tmp/other/%f"
        assert database.found(CheckName.ARCHIVE, archiveCommand=elsewhere) == []
        assert database.found(CheckName.ARCHIVE_MISSING, archiveCommand=elsewhere) == []
        assert database.found(CheckName.ARCHIVE, archiveCommand="rsync %p /tmp/none/%f") == [
            "archiveCommand and the old primary's archive_command both name /tmp/none"
        ]
        same = "test ! -e /tmp/none/%f  || cp %p /tmp/none/%f"
        (found,) = database.found(CheckName.ARCHIVE, archiveCommand=same)
        assert found.startswith("archiveCommand is the old primary's archive_command")
    finally:
        database.restart(**before)
