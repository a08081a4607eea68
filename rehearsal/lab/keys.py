"""The lab's SSH: the operator's key pair and agent, a host key for each server, and the client's files."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rehearsal.lab import processes
from rehearsal.lab.fleet import USER, Server
from rehearsal.lab.place import LabError, Place, call

AGENT = "ssh-agent"
"""The name that the agent's process is recorded under."""
_LONGEST_SOCKET_PATH = 107  # sun_path of unix(7), less the zero at its end
_AGENT_SECONDS = 5.0


def private_key(place: Place) -> Path:
    """The operator's private key; the public one is beside it, with .pub."""
    return place.ssh / "id_ed25519"


def agent_socket(place: Place) -> Path:
    """What SSH_AUTH_SOCK is to be for the lab's own agent."""
    return place.ssh / "agent.sock"


def config(place: Place) -> Path:
    """What `ssh -F` wants, so that the servers' names are enough."""
    return place.ssh / "config"


def host_private_key(place: Place, server: Server) -> Path:
    """The private host key that is put on the server."""
    return place.ssh / "hosts" / server.name


def host_key(place: Place, server: Server) -> str:
    """The server's public host key, "ssh-ed25519 AAAA...", without a comment."""
    return _public(host_private_key(place, server))


def user_key(place: Place) -> str:
    """The operator's public key, as in authorized_keys, without a comment."""
    return _public(private_key(place))


def generate(place: Place, servers: Sequence[Server]) -> None:
    """Make the keys that are not there yet, and the client's known_hosts and configuration."""
    (place.ssh / "hosts").mkdir(parents=True, exist_ok=True)
    place.ssh.chmod(0o700)
    wanted = [private_key(place), *(host_private_key(place, server) for server in servers)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(_generate, (path for path in wanted if not path.exists())))
    known = [f"{server.name},{server.address} {host_key(place, server)}" for server in servers]
    (place.ssh / "known_hosts").write_text("\n".join(known) + "\n")
    hosts = [f"Host {server.name}\n    HostName {server.address}" for server in servers]
    everywhere = (
        f"Host *\n    User {USER}\n    IdentityFile {private_key(place)}\n    IdentitiesOnly yes\n"
        f"    UserKnownHostsFile {place.ssh / 'known_hosts'}\n    StrictHostKeyChecking yes\n"
        "    BatchMode yes\n    ConnectTimeout 5\n    LogLevel ERROR"
    )
    config(place).write_text("\n\n".join([*hosts, everywhere]) + "\n")


def start_agent(place: Place) -> None:
    """Start the lab's own agent, holding the operator's key. Nothing is done if it runs already."""
    socket = agent_socket(place)
    if len(str(socket)) > _LONGEST_SOCKET_PATH:
        raise LabError(
            f"Expected a path of at most {_LONGEST_SOCKET_PATH} characters for the SSH agent's socket, found {socket}: "
            "check the repository out into a folder with a shorter path."
        )
    if processes.running(place, AGENT) is None:
        socket.unlink(missing_ok=True)
        processes.start(place, AGENT, ["ssh-agent", "-D", "-a", socket])
    deadline = time.monotonic() + _AGENT_SECONDS
    while not socket.exists():
        if time.monotonic() > deadline:
            raise LabError(f"Expected an SSH agent at {socket}; see {place.logs / AGENT}.log.")
        time.sleep(0.01)
    call("ssh-add", "-q", private_key(place), environment={"SSH_AUTH_SOCK": str(socket)})


def _generate(path: Path) -> None:
    call("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "pgleap-lab", "-f", path)


def _public(path: Path) -> str:
    kind, key, *_ = Path(f"{path}.pub").read_text().split()
    return f"{kind} {key}"
