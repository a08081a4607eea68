"""Clients that verify whom a name leads to, on two servers of the test's own: db1, and db2 that will be DB_B."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.check_names import CheckName
from agent.cluster import OS_USER
from tests.preflight.databases import BINARIES, Database, running
from tests.preflight.folders import Folder

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.skipif(not BINARIES, reason="no PostgreSQL server at /usr/lib/postgresql/*/bin"),
]
DB1, DB2 = "127.0.0.1", "127.0.0.2"
NAMES = {"db1.internal.ln": DB1, "db2.internal.ln": DB2}
FAILS = "clients with sslmode=verify-full fail from then on"


@dataclass
class Authority:
    """What signs the servers' certificates, in `folder`."""

    folder: Path

    @property
    def root(self) -> Path:
        return self.folder / "root.crt"

    def make(self) -> Authority:
        self._openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "root.key", "-out", "root.crt", "-days", "2",
                      "-subj", "/CN=the company's own")  # fmt: skip
        return self

    def sign(self, server: str, *names: str, days: int = 2) -> None:
        """A certificate and its key, as this server's."""
        other = ",".join(f"DNS:{name}" for name in names)
        (self.folder / "names").write_text(f"subjectAltName={other}\nbasicConstraints=critical,CA:FALSE\n")
        self._openssl(
            "req",
            "-new",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-keyout",
            f"{server}.key",
            "-out",
            f"{server}.csr",
            "-subj",
            "/CN=x",
        )
        self._openssl("x509", "-req", "-in", f"{server}.csr", "-CA", "root.crt", "-CAkey", "root.key", "-CAcreateserial", "-days", str(days),
                      "-extfile", "names", "-out", f"{server}.crt")  # fmt: skip
        (self.folder / f"{server}.key").chmod(0o600)
        if os.geteuid() == 0:
            for kind in ("key", "crt"):
                shutil.chown(self.folder / f"{server}.{kind}", OS_USER)

    def settings(self, server: str) -> dict[str, str]:
        return {
            "ssl": "on",
            "ssl_cert_file": f"{self.folder}/{server}.crt",
            "ssl_key_file": f"{self.folder}/{server}.key",
        }

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, capture_output=True)


@dataclass
class Fleet:
    authority: Authority
    db1: Database
    db2: Database

    def reload(self, *names: str) -> None:
        """A new certificate for db2."""
        self.authority.sign("db2", *names)
        self.db2.restart(**self.db2.settings)

    def found(self, **desired: object) -> list[str]:
        """What is told of db2 as DB_B."""
        asked = {"server": "db2", "address": DB2, "side": "old replica", "isReadFrom": True, "names": NAMES, **desired}
        return self.db2.found(CheckName.TLS_NAMES, **asked)


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    with tempfile.TemporaryDirectory(prefix="pgleap-") as made:
        folder = Path(made)
        folder.chmod(0o755)
        authority = Authority(folder).make()
        for server in ("db1", "db2"):
            authority.sign(server, f"{server}.internal.ln")
            (folder / f"{server}-data").mkdir()
        with (
            running(folder / "db1-data", authority.settings("db1")) as db1,
            _beside(db1, folder / "db2-data", authority) as db2,
        ):
            yield Fleet(authority, db1, db2)


@contextmanager
def _beside(db1: Database, folder: Path, authority: Authority) -> Iterator[Database]:
    """On another address of this machine, and the same port."""
    if os.geteuid() == 0:
        shutil.chown(folder, OS_USER)
    found = Database(folder, db1.port, db1.bin, {**authority.settings("db2"), "listen_addresses": DB2})
    found.run("initdb", "-D", str(found.data), "-U", "postgres", "-A", "trust", "--no-sync")
    found.start()
    try:
        yield found
    finally:
        found.stop()


def test_names_that_the_new_place_is_not_made_out_to(fleet: Fleet) -> None:
    """Every read of the window failed for clients that verify, and nothing had said so."""
    fleet.reload("db2.internal.ln")
    assert fleet.found() == [
        f"db1.internal.ln will lead to db2 in the window; its certificate is for db2.internal.ln: {FAILS}"
    ]
    (at_cutover,) = fleet.found(server="db-a", side="DB_A")
    assert at_cutover.startswith("db1.internal.ln will lead to db-a at cutover; ")
    assert fleet.found(isReadFrom=False) == []


def test_names_that_nobody_verifies(fleet: Fleet) -> None:
    """The certificate that a packager made for every server, or none at all: no client verifies, and nothing changes for it."""
    assert fleet.found(names={"db": DB1, "nowhere": "127.0.0.3"}) == []


def test_a_certificate_for_all_names(fleet: Fleet) -> None:
    for names in (("db1.internal.ln", "db2.internal.ln"), ("*.internal.ln",)):
        fleet.reload(*names)
        assert fleet.found() == []


def test_a_place_without_tls(fleet: Fleet) -> None:
    """sslmode=require is enough to fail."""
    before = dict(fleet.db2.settings)
    fleet.db2.restart(listen_addresses=DB2, ssl="off")
    try:
        (found,) = fleet.found()
        told = "db1.internal.ln will lead to db2 in the window; it speaks no TLS: clients with sslmode=require or more fail from then on"
        assert found == told
    finally:
        fleet.db2.restart(**before)


def test_after_names_have_moved_nothing_is_said(fleet: Fleet) -> None:
    assert fleet.db2.look(CheckName.TLS_NAMES, phase="readonly", names=NAMES, isReadFrom=True).unseen is not None
    unreachable = fleet.db2.look(CheckName.TLS_NAMES, address="127.0.0.3", names=NAMES, isReadFrom=True)
    assert "does not answer" in str(unreachable.unseen)


def test_a_server_whose_programs_verify(fleet: Fleet, tmp_path: Path) -> None:
    """It has the roots that libpq looks for: what it would make of DB_B is known, not guessed, and refuses."""
    folder = Folder(tmp_path)
    folder.write("/etc/passwd", "root:x:0:0:root:/root:/bin/bash\napp:x:1000:1000:,,,:/srv/app:/bin/sh\n")
    asked = {
        "names": NAMES, "readsFrom": {"db2": DB2}, "target": {"db-a": "127.0.0.3"}, "postgres": {"port": fleet.db1.port},
    }  # fmt: skip
    fleet.reload("db2.internal.ln")
    assert folder.found(CheckName.TLS_VERIFIED, **asked) == []
    trusted = folder.write("/srv/app/.postgresql/root.crt", fleet.authority.root.read_text())
    refused = "db1.internal.ln will lead to db2; its certificate is for db2.internal.ln"
    assert folder.found(CheckName.TLS_VERIFIED, **asked) == [f"{refused}: clients that trust {trusted} and verify fail"]
    fleet.reload("db1.internal.ln", "db2.internal.ln")
    assert folder.found(CheckName.TLS_VERIFIED, **asked) == []
    (other := tmp_path / "other").mkdir()
    stranger = Authority(other).make()
    stranger.sign("db2", "db1.internal.ln", "db2.internal.ln")
    before = dict(fleet.db2.settings)
    (fleet.authority.folder / "other").mkdir()
    for file in ("db2.crt", "db2.key"):
        shutil.move(other / file, fleet.authority.folder / "other" / file)
    fleet.db2.restart(**{**before, **Authority(fleet.authority.folder / "other").settings("db2")})
    try:
        (found,) = folder.found(CheckName.TLS_VERIFIED, **{**asked, "names": {"db1.internal.ln": DB1}})
        assert found.startswith("db1.internal.ln will lead to db2; its certificate is refused (")
    finally:
        fleet.db2.restart(**before)
