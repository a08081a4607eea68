"""The operator's side of the lab: engine, stand-in plugins, and a stack of this repository's own project for the fleet."""

from __future__ import annotations

import secrets
import shlex
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rehearsal import load_balancer
from rehearsal.engine.engine import ensure
from rehearsal.engine.project import Pulumi
from rehearsal.lab import databases, keys, processes
from rehearsal.lab.fleet import NEW_VERSION, OLD_VERSION, OPERATOR_ADDRESS, ORDINARY, USER, Fleet
from rehearsal.lab.place import REPOSITORY, LabError, Place, Report
from rehearsal.load_balancer import LoadBalancer

STACK = "lab"
PLUGINS = "plugins"
_PLUGINS_SECONDS = 30.0
# For the stand-in of AWS, which makes hosts of the lab of them (rehearsal/lab/instances.py).
INSTANCE = {
    "type": "r6i.large",
    "ami": "ami-0123456789abcdef0",
    "subnetId": "subnet-0123456789abcdef0",
    "keyName": "operator",
    "volume": {"size": 20},
}
AWS = {
    "region": load_balancer.REGION,
    "vpcId": "vpc-0123456789abcdef0",
    "sshFrom": [f"{OPERATOR_ADDRESS}/32"],
    "fleetGroups": ["sg-0123456789abcdef0"],
    "tags": {"lab": "pgleap"},
}


def config(
    place: Place, balancer: LoadBalancer | None = None, fleet: Fleet = ORDINARY, *, instances: bool = True
) -> dict[str, Any]:
    """The stack's config for a fleet of the lab's, but for phase, round and the secrets. Without `instances` every server is there already."""
    servers = {}
    for server in fleet.servers:
        entry: dict[str, Any] = {
            "role": server.role,
            "address": server.address,
            "hostKey": keys.host_key(place, server),
        }
        if server.tasks:
            entry["tasks"] = list(server.tasks)
        if server.keep_until:
            entry["keepUntil"] = server.keep_until
        if server.reload:
            entry["reload"] = server.reload
        if server.takes_over:
            entry["takesOver"] = server.takes_over
        if server.instance and instances:
            entry["instance"] = dict(INSTANCE)
        if balancer is not None and server.name in balancer.drained:
            entry["targetGroups"] = [balancer.target_group]
        servers[server.name] = entry
    found = {
        "pgleap:versions": {"old": OLD_VERSION, "new": NEW_VERSION},
        "pgleap:servers": servers,
        "pgleap:names": dict(fleet.names),
        "pgleap:readsFrom": fleet.reads_from,
        "pgleap:ssh": {"user": USER},
        "pgleap:postgres": {"archiveCommand": "test -s %p"},
        "pgleap:replication": _replication(fleet),
        "pgleap:aws": {**AWS, **({"endpoint": balancer.endpoint} if balancer else {})},
    }
    return {**found, "pgleap:limits": dict(fleet.limits)} if fleet.limits else found


def _replication(fleet: Fleet) -> dict[str, str]:
    """Commits on DB_A wait for any one of the new replicas, where there are some."""
    names = ", ".join(f'"{one.name}"' for one in fleet.new_replicas)
    waits = {"synchronousStandbyNames": f"ANY 1 ({names})"} if names else {}
    return {"user": databases.REPLICATION_ROLE, **waits}


def make(place: Place, report: Report, fleet: Fleet = ORDINARY, *, instances: bool) -> Pulumi:
    """Get the engine, serve the plugins, make the stack with round 1 and phase prepare, and write `.lab/env`. With `instances` the stack
    makes the new databases on the lab's EC2."""
    engine = ensure(report)
    balancer = load_balancer.serve(place, fleet)
    plugins = serve_plugins(place, engine)
    pulumi = _pulumi(place, engine, plugins)
    stack_file(place).unlink(missing_ok=True)
    pulumi.init()
    pulumi.configure(
        {**config(place, balancer, fleet, instances=instances), "pgleap:phase": "prepare", "pgleap:round": 1}
    )
    pulumi.config_set("pgleap:password", secrets.token_hex(16), secret=True)
    pulumi.config_set("pgleap:replicationPassword", databases.replication_password(place), secret=True)
    for server in fleet.servers:
        if server.instance and instances:
            private_key = keys.host_private_key(place, server).read_text()
            pulumi.config_set(f"pgleap:hostPrivateKeys.{server.name}", private_key, secret=True)
    path = f"export PATH={shlex.quote(f'{engine}:')}$PATH\n"
    variables = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in pulumi.own_variables().items())
    # As on an operator's machine: see the Makefile.
    (place.root / "env").write_text(f"unset PYTHONDONTWRITEBYTECODE\n{path}{variables}")
    report("The stack `lab` is there, in phase prepare, round 1")
    return pulumi


def opened(place: Place) -> Pulumi:
    """The stack of a lab that is up."""
    return _pulumi(place, ensure(lambda _: None), _variables(place))


def stack_file(place: Place) -> Path:
    """Where the plain command line looks for the stack's config: beside Pulumi.yaml. The lab removes it again."""
    return place.root.parent / f"Pulumi.{STACK}.yaml"


def _pulumi(place: Place, engine: Path, plugins: Mapping[str, str]) -> Pulumi:
    return Pulumi(
        engine=engine,
        project=REPOSITORY,
        home=place.root / "pulumi" / "home",
        backend=place.root / "pulumi" / "state",
        stack=STACK,
        passphrase="lab",  # noqa: S106 - the lab's state is thrown away with the lab
        environment={**plugins, **load_balancer.CREDENTIALS, "SSH_AUTH_SOCK": str(keys.agent_socket(place))},
    )


def serve_plugins(place: Place, engine: Path) -> dict[str, str]:
    """Start the process that holds the stand-in plugins; the variables that the engine finds them by. Raises LabError."""
    file = _variables_file(place)
    file.unlink(missing_ok=True)
    home = place.root / "pulumi" / "home"
    home.mkdir(parents=True, exist_ok=True)
    process = processes.start(
        place,
        PLUGINS,
        [sys.executable, "-m", "rehearsal.plugins.serve", "--env-file", file, "--engine", engine, "--lab", place.root],
        {
            "PYTHONPATH": str(REPOSITORY),
            "PULUMI_HOME": str(home),
            "SSH_AUTH_SOCK": str(keys.agent_socket(place)),
            **load_balancer.CREDENTIALS,  # steps on the operator's machine have this process's variables
        },
        # Where the engine starts a real plugin: a program that scripts.window serves itself is not known to come from there.
        folder=REPOSITORY,
    )
    deadline = time.monotonic() + _PLUGINS_SECONDS
    while not file.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise LabError(
                f"Expected the plugins to serve within {_PLUGINS_SECONDS:.0f} s: see {place.logs / PLUGINS}.log."
            )
        time.sleep(0.05)
    return _variables(place)


def _variables_file(place: Place) -> Path:
    return place.root / "plugins.env"


def _variables(place: Place) -> dict[str, str]:
    lines = _variables_file(place).read_text().splitlines()
    pairs = (line.removeprefix("export ").split("=", 1) for line in lines)
    return {name: shlex.split(value)[0] for name, value in pairs}
