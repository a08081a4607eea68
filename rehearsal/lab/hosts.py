"""The lab's hosts: each an overlay of the image, booted by systemd-nspawn in a network namespace of its own.

A host can be stopped, killed as by a power failure, and booted again: what is on its disk stays.
"""

import hashlib
import os
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rehearsal.lab import control_groups, keys, network, processes
from rehearsal.lab.fleet import ORDINARY, USER, Fleet, Server, hosts_file
from rehearsal.lab.place import LabError, Place, call

_BOOT_SECONDS = 60.0
_STOP_SECONDS = 60.0
_RUN_SECONDS = 600.0
_POWER_OFF = signal.SIGRTMIN + 4  # systemd(1), SIGNALS
_ENVIRONMENT = ("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=en_US.UTF-8")


class Host:
    """One server of the lab."""

    def __init__(self, place: Place, server: Server, fleet: Fleet = ORDINARY) -> None:
        self.server = server
        self._fleet = fleet
        self._place = place
        self._folder = place.hosts / server.name
        self.root = self._folder / "root"

    @property
    def name(self) -> str:
        """The server's name."""
        return self.server.name

    def boot(self, at_first: Callable[[Path], None] | None = None) -> None:
        """Boot it and wait until its user can log in over SSH. Nothing is done if it is up.

        `at_first` is given the root of a host that never booted. Raises LabError, with the end of the console's log, if nobody can log in after 60 seconds.
        """
        if self.leader() is None:
            if self.mount() and at_first is not None:
                at_first(self.root)
            # nspawn takes the control group that it is started in as the host's own.
            groups = control_groups.make(self._place, self.name)
            enter = "".join(f"echo $$ > '{group}/cgroup.procs'; " for group in groups)
            nspawn = [
                *("systemd-nspawn", "--boot", f"--directory={self.root}", "--register=no", "--keep-unit"),
                f"--network-namespace-path=/run/netns/{network.namespace(self.server)}",
                *("--console=read-only", "--resolv-conf=off", "--timezone=off", "--link-journal=no"),
            ]
            processes.start(self._place, self._process, ["sh", "-ec", f'{enter}exec "$@"', "sh", *nspawn])
        self._wait_for_login()

    def stop(self) -> None:
        """Shut it down as `poweroff` does. Raises LabError if it still runs after 60 seconds."""
        leader = self.leader()
        if leader is not None:
            os.kill(leader, _POWER_OFF)
        deadline = time.monotonic() + _STOP_SECONDS
        while control_groups.processes(self._place, self.name):
            if time.monotonic() > deadline:
                raise LabError(f"Expected {self.name} to shut down within {_STOP_SECONDS:.0f} s. {self._console()}")
            time.sleep(0.05)

    def remove(self) -> None:
        """Shut it down, and take away all that was on its disk. Raises LabError."""
        self.stop()
        if self.root.is_mount():
            call("umount", self.root)
        if self._folder.exists():
            shutil.rmtree(self._folder)

    def kill(self) -> None:
        """End everything on it at once, as a power failure does."""
        processes.end(control_groups.processes(self._place, self.name))

    def keep_disk(self, folder: Path) -> None:
        """Copy what is on its disk to a `folder` that is not there yet. The host must be down. Raises LabError."""
        call("cp", "-a", self._folder / "upper", folder)

    def replace_disk(self, kept: Path) -> None:
        """End everything on it, and give it the disk that was `kept`. It stays down. Raises LabError."""
        self.kill()
        if self.root.is_mount():
            call("umount", self.root)
        for layer in ("upper", "work"):
            shutil.rmtree(self._folder / layer)
        call("cp", "-a", kept, self._folder / "upper")

    def leader(self) -> int | None:
        """The pid, as the machine sees it, of the host's own process 1; None when the host is down."""
        for pid in control_groups.processes(self._place, self.name):
            try:
                status = Path(f"/proc/{pid}/status").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            (in_namespaces,) = (line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:"))
            if len(in_namespaces) > 1 and in_namespaces[-1] == "1" and processes.alive(pid):
                return pid
        return None

    def run(
        self, argv: Sequence[str], user: str | None = None, stdin: str | None = None, seconds: float = _RUN_SECONDS
    ) -> str:
        """What a program run on the host prints; as root, or as `user`. The lab's own way in, beside SSH.

        Raises LabError when the host is down, the program fails, or has not ended after `seconds`.
        """
        leader = self.leader()
        if leader is None:
            raise LabError(f"Expected {self.name} to be up, found it down: boot it first.")
        become = ("runuser", "-u", user, "--") if user else ()
        enter = ("nsenter", f"--target={leader}", "--all", "env", "-i", *_ENVIRONMENT)
        try:
            return call(*enter, *become, *argv, stdin=stdin, seconds=seconds)
        except LabError as error:
            raise LabError(f"On {self.name}: {str(error).replace(' '.join(enter) + ' ', '')}") from error

    def write(self, path: str, content: str, mode: int = 0o644, owner: str = "root") -> None:
        """Make a file on the host, and the folders above it. `owner` is a user, whose main group it gets."""
        group = self.run(["id", "-gn", owner]).strip()
        install = ["install", "-D", "-m", f"{mode:o}", "-o", owner, "-g", group, "/dev/stdin", path]
        self.run(install, stdin=content)

    def mount(self) -> bool:
        """Its disk, made and set up if it is not there; whether it was not."""
        new = not self._folder.exists()
        upper, work = self._folder / "upper", self._folder / "work"
        for folder in (upper, work, self.root):
            folder.mkdir(parents=True, exist_ok=True)
        if not self.root.is_mount():
            layers = f"lowerdir={self._place.image.resolve()},upperdir={upper},workdir={work}"
            call("mount", "-t", "overlay", "-o", layers, f"pgleap-{self.name}", self.root)
        if new:
            self._set_up()
        return new

    @property
    def _process(self) -> str:
        return f"host-{self.name}"

    def _set_up(self) -> None:
        """What tells this host from every other, put there before its first boot."""
        etc = self.root / "etc"
        (etc / "hostname").write_text(f"{self.name}\n")
        (etc / "hosts").write_text(hosts_file(self.server, self._fleet))
        # Not a random one: without it systemd takes the boot for the first one ever, which takes it longer.
        machine = hashlib.sha256(f"{self._place.root}/{self.name}".encode()).hexdigest()[:32]
        (etc / "machine-id").write_text(f"{machine}\n")
        key = etc / "ssh" / "ssh_host_ed25519_key"
        key.touch(0o600)
        key.write_bytes(keys.host_private_key(self._place, self.server).read_bytes())
        Path(f"{key}.pub").write_text(f"{keys.host_key(self._place, self.server)}\n")
        home = self.root / "home" / USER
        authorized = home / ".ssh" / "authorized_keys"
        authorized.parent.mkdir(mode=0o700)
        authorized.write_text(f"{keys.user_key(self._place)}\n")
        for path in (authorized.parent, authorized):
            os.chown(path, home.stat().st_uid, home.stat().st_gid)

    def _wait_for_login(self) -> None:
        deadline = time.monotonic() + _BOOT_SECONDS
        while True:
            try:
                call("ssh", "-F", keys.config(self._place), "-o", "ConnectTimeout=1", self.name, "true", seconds=20)
            except LabError as error:
                if time.monotonic() > deadline:
                    raise LabError(
                        f"Expected {USER} to be let in on {self.name} within {_BOOT_SECONDS:.0f} s of its boot. {error} "
                        f"{self._console()}"
                    ) from error
                time.sleep(0.1)
            else:
                return

    def _console(self) -> str:
        log = self._place.logs / f"{self._process}.log"
        last = log.read_text(errors="replace").splitlines()[-5:] if log.exists() else []
        return f"The end of {log}: {' / '.join(last)}"


def boot(hosts: Sequence[Host]) -> None:
    """Boot hosts all at once. Raises the first LabError after every one of them has been tried."""
    with ThreadPoolExecutor(max(1, len(hosts))) as pool:
        for done in [pool.submit(host.boot) for host in hosts]:
            done.result()
