"""What a check on DB_A rests on: that it is a standby of the old version, and what the new version's packages brought."""

from __future__ import annotations

from agent.checks.check import Unseen
from agent.checks.sight import Sight


def must_be_standby(sight: Sight) -> None:
    """Raises Unseen if DB_A is no running standby of the old version."""
    if not sight.postgres.is_running():
        raise Unseen(f"no PostgreSQL {sight.old.version} runs here: to be seen once `prepare` has made DB_A a standby")
    if not sight.row("SELECT pg_is_in_recovery() AS standby")["standby"]:
        raise Unseen("DB_A is no standby any more: it was to be seen before the upgrade")


def must_have_new_cluster(sight: Sight) -> None:
    """Raises Unseen if the new version's empty cluster is not there."""
    if not sight.server.path(f"{sight.new.data}/PG_VERSION").exists():
        raise Unseen(
            f"there is no cluster of PostgreSQL {sight.new.version} here: to be seen once `prepare` has made it"
        )


def share_folder(sight: Sight) -> str:
    """Where the new version has its extensions' files. Raises Unseen if its packages are not here."""
    new = sight.new
    must_be_installed(sight)
    usual = f"/usr/pgsql-{new.version}/share" if new.layout == "rhel" else f"/usr/share/postgresql/{new.version}"
    return _from_pg_config(sight, "--sharedir") or usual


def library_folder(sight: Sight) -> str:
    """Where the new version has its loadable libraries. Raises Unseen if its packages are not here."""
    must_be_installed(sight)
    return _from_pg_config(sight, "--pkglibdir") or f"{sight.new.bin.rsplit('/', 1)[0]}/lib"


def must_be_installed(sight: Sight) -> None:
    """Raises Unseen if the new version's packages are not here."""
    if not sight.is_installed(sight.new):
        raise Unseen(f"PostgreSQL {sight.new.version} is not installed in {sight.new.bin}")


def _from_pg_config(sight: Sight, what: str) -> str:
    """ "" if there is no pg_config: it comes with the client's package on Debian, with the development one elsewhere."""
    if not sight.is_installed(sight.new, "pg_config"):
        return ""
    return sight.program(sight.new.program("pg_config"), what).stdout.strip()
