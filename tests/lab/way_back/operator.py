"""What an operator types in these stories, and reads."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from rehearsal.data.fill import LEDGER_DATABASES
from rehearsal.drill.probe import places
from rehearsal.lab.hosts import Host
from rehearsal.stage import Stage, psql_as_root
from rehearsal.traffic import install
from rehearsal.traffic.ledger import entries, reconcile
from rehearsal.traffic.log import read


def script(it: Stage, *arguments: str) -> subprocess.CompletedProcess[str]:
    """One of the product's scripts, as an operator runs it."""
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=it.pulumi.project,
        env=it.pulumi.variables(),
        capture_output=True,
        text=True,
        check=False,
    )


def status(it: Stage) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(script(it, "scripts.status", "--json").stdout)
    return found


def forward(it: Stage) -> None:
    """From prepare to cutover."""
    it.pulumi.up().checked()
    done = script(it, "scripts.window")
    assert done.returncode == 0, done.stdout + done.stderr


def way_back(it: Stage) -> dict[str, Any]:
    """What status says of a way back that loses nothing."""
    found: dict[str, Any] = status(it)["wayBack"]
    return found


def nothing_is_lost(it: Stage) -> None:
    """Each acknowledged write is looked up on the old primary."""
    install.stop(it.clients)
    install.collect(it.clients, it.logs)
    ledger = reconcile(read(it.logs), entries(psql_as_root(it.lab.host("db1")), LEDGER_DATABASES))
    print(f"{ledger.acknowledged} acknowledged, all found")
    assert ledger.whole, (ledger.missing, ledger.torn, ledger.failed_present)
    install.start(it.clients)


def open_databases(it: Stage) -> list[str]:
    """The database servers that accept a write of the rudest kind right now, as an application's server asks them."""
    client = it.clients[0]
    return sorted({name for name, port in places(it.fleet) if _accepts(client, it.fleet.named(name).address, port)})


def _accepts(client: Host, address: str, port: int) -> bool:
    return client.run(["/usr/bin/python3", "-c", _RUDE, address, str(port)]).strip() == "accepted"


_RUDE = """
import sys, uuid, psycopg2
try:
    session = psycopg2.connect(host=sys.argv[1], port=int(sys.argv[2]), dbname="shop", user="app_writer",
                               password="the-writer-of-the-lab", connect_timeout=3)
    session.autocommit = True
    with session.cursor() as cursor:
        cursor.execute("BEGIN READ WRITE")
        cursor.execute("INSERT INTO ledger VALUES (%s, 'the rude one', 0)", (str(uuid.uuid4()),))
        cursor.execute("COMMIT")
except psycopg2.Error:
    print("refused")
else:
    print("accepted")
"""
