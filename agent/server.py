"""The server the agent runs on: the only room that touches files, programs and the clock, so that tests can stand another in."""

from __future__ import annotations

import contextlib
import copy
import fcntl
import itertools
import json
import os
import pwd
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple, TypeVar

from agent import temporary
from agent.report import Refusal

STATE_FOLDER = "/var/lib/pgleap"
T = TypeVar("T")
U = TypeVar("U")
# Who can read what everybody can.
ORDINARY = "nobody"
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Completed(NamedTuple):
    """What a program left behind; text is decoded as UTF-8, undecodable bytes replaced."""

    returncode: int
    stdout: str
    stderr: str


class Server:
    """The machine itself. `root` is `/`, or a folder in tests; `folder` is where pgleap's own files lie."""

    def __init__(self, root: Path = Path("/")) -> None:
        self.root = root
        self.folder = STATE_FOLDER

    def keeping_in(self, folder: str) -> Server:
        """The same machine, with another folder in the place of STATE_FOLDER: whoever has it cannot reach a file of the window's."""
        other = copy.copy(self)
        other.folder = folder
        return other

    @property
    def archive(self) -> Path:
        """The file that this agent was started from."""
        return Path(sys.argv[0]).resolve()

    def place(self, absolute: str) -> str:
        """Where a file is, as programs on this machine name it: pgleap's own ones lie in `folder`."""
        if absolute == STATE_FOLDER or absolute.startswith(f"{STATE_FOLDER}/"):
            return self.folder + absolute[len(STATE_FOLDER) :]
        return absolute

    def path(self, absolute: str) -> Path:
        return self.root / self.place(absolute).lstrip("/")

    def kernel(self) -> Tuple[int, int]:
        """The version of Linux, such as (5, 10)."""
        major, minor = os.uname().release.split(".")[:2]
        return int(major), int("".join(itertools.takewhile(str.isdigit, minor)) or "0")

    def monotonic(self) -> float:
        return time.monotonic()

    def now(self) -> float:
        """Seconds since the epoch, for people; durations come from `monotonic`."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def run(
        self,
        *argv: str,
        user: Optional[str] = None,
        stdin: Optional[str] = None,
        check: bool = True,
        timeout: Optional[float] = 60,
        environment: Optional[Dict[str, str]] = None,
        folder: str = "/",
    ) -> Completed:
        """Run a program, never through a shell; `timeout` is in seconds. Raises Refusal if it fails and `check` is set."""
        names = {"LC_ALL": "C.UTF-8", "PATH": SYSTEM_PATH, **(environment or {})}
        try:
            done = subprocess.run(
                argv,
                input=(stdin or "").encode(),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                timeout=timeout,
                check=False,
                cwd=str(self.path(folder)),
                env=names,
                user=user,
                group=None if user is None else self.owner(user)[1],  # not always one of the same name
                extra_groups=self._groups(user),
            )
        except FileNotFoundError as missing:
            raise Refusal(
                f"the program {argv[0]} on this server", f"no such program ({missing})", f"install what holds {argv[0]}"
            ) from missing
        except subprocess.TimeoutExpired as late:
            raise Refusal(
                f"`{' '.join(argv[:3])}` to finish within {timeout} s",
                "it was still running and was ended",
                "look at the server's load and logs, then run `pulumi up` again",
            ) from late
        completed = Completed(
            done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        )
        if check and completed.returncode != 0:
            said = (completed.stderr or completed.stdout).strip()[-2000:]
            raise Refusal(
                f"`{' '.join(argv[:4])}` to succeed",
                f"exit status {completed.returncode}: {said}",
                "mend what it says, then run `pulumi up` again",
            )
        return completed

    def stream(
        self,
        *argv: str,
        user: str,
        seconds: float,
        on_line: Callable[[str], None],
        environment: Optional[Dict[str, str]] = None,
        folder: str = "/",
    ) -> Optional[int]:
        """Run a long program, handing on each line it prints as it comes; its exit status, or None if it was ended after `seconds`."""
        names = {"LC_ALL": "C.UTF-8", "PATH": SYSTEM_PATH, **(environment or {})}
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=str(self.path(folder)),
            env=names,
            user=user,
            group=user,
            extra_groups=self._groups(user),
            start_new_session=True,
            bufsize=0,
        )
        assert process.stdout is not None
        deadline, rest = self.monotonic() + seconds, b""
        os.set_blocking(process.stdout.fileno(), False)
        while True:
            ready, _, _ = select.select([process.stdout], [], [], 0.05)
            piece = process.stdout.read(65536) if ready else None
            if piece:
                *lines, rest = (rest + piece.replace(b"\r", b"\n")).split(b"\n")
                for line in lines:
                    on_line(line.decode(errors="replace"))
            # A server that the program started may hold the pipe open, so its end alone is no sign; the exit status is.
            if not piece and process.poll() is not None:
                on_line(rest.decode(errors="replace"))
                return process.returncode
            if self.monotonic() > deadline:
                os.killpg(process.pid, signal.SIGTERM)
                try:
                    process.wait(timeout=10)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
                return None

    def converse(self, *argv: str, user: Optional[str], environment: Dict[str, str]) -> subprocess.Popen[bytes]:
        """A program that is asked again and again, by its standard input; what it says, errors too, comes in one stream."""
        names = {"LC_ALL": "C.UTF-8", "PATH": SYSTEM_PATH, **environment}
        try:
            return subprocess.Popen(
                argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=str(self.root),
                env=names, user=user, group=user, extra_groups=self._groups(user),
            )  # fmt: skip
        except FileNotFoundError as missing:
            raise Refusal(
                f"the program {argv[0]} on this server", f"no such program ({missing})", f"install what holds {argv[0]}"
            ) from missing

    def side_by_side(self, act: Callable[[T], U], each: Sequence[T], at_once: int) -> List[U]:
        """What `act` makes of each, in their order, so many at once. The first error is raised."""
        from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - few verbs need it, and each would load logging with it

        with ThreadPoolExecutor(max_workers=at_once) as pool:
            return list(pool.map(act, each))

    def connects(self, address: str, port: int, seconds: float = 2) -> bool:
        """Whether something accepts a TCP connection there."""
        return self.refusal(address, port, seconds) is None

    def refusal(self, address: str, port: int, seconds: float) -> Optional[OSError]:
        """None if something accepts a TCP connection there, else what came instead: a refusal comes from a server that was reached."""
        import socket  # noqa: PLC0415 - few verbs need it, and it takes each start 4 ms

        try:
            socket.create_connection((address, port), timeout=seconds).close()
        except OSError as error:
            return error
        return None

    def addresses(self, name: str) -> List[str]:
        """The addresses that a program of an ordinary user's gets for a name on this server, in their order, each once; none if it leads
        nowhere. What root alone can read (a hosts file of mode 0600) is not there for whoever serves. Raises Refusal."""
        found = self.run("getent", "ahosts", name, user=self.ordinary_user(), check=False)
        return list(
            dict.fromkeys(line.split()[0].partition("%")[0] for line in found.stdout.splitlines() if line.strip())
        )

    def ordinary_user(self) -> Optional[str]:
        """One that owns nothing; None where this program runs as somebody who can be nobody else."""
        if os.geteuid() != 0:
            return None
        try:
            return pwd.getpwnam(ORDINARY).pw_name
        except KeyError:
            return None

    def write_durably(
        self, absolute: str, content: bytes, mode: Optional[int] = None, owner: Optional[Tuple[int, int]] = None
    ) -> None:
        """Replace a file in one moment, and on the disk before this returns.

        The old file's mode, owner and extended attributes (SELinux labels) stay unless `mode` or `owner` (uid, gid) say otherwise.
        Two processes may write one file at once: the file is then one of the two, and whole. A link stays one, and leads to the new file.
        """
        target = self.path(absolute)
        target = target.resolve() if target.is_symlink() else target
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.clean(target)
        old = target.stat() if target.exists() else None
        with temporary.beside(target) as file:
            os.fchmod(file.fileno(), mode if mode is not None else (old.st_mode & 0o7777 if old else 0o644))
            uid_gid = owner or ((old.st_uid, old.st_gid) if old else None)
            if uid_gid:
                os.fchown(file.fileno(), *uid_gid)
            if old:
                for name in os.listxattr(target):
                    with contextlib.suppress(OSError):
                        os.setxattr(file.name, name, os.getxattr(target, name))
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            os.replace(file.name, target)
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _groups(self, user: Optional[str]) -> Optional[List[int]]:
        """All groups of a user, as a login has them: postgres reads its TLS key by one on Debian."""
        return None if user is None else os.getgrouplist(user, self.owner(user)[1])

    def owner(self, user: str) -> Tuple[int, int]:
        """The uid and gid of a user of the operating system. Raises Refusal if there is none."""
        try:
            found = pwd.getpwnam(user)
        except KeyError:
            raise Refusal(f"the user {user} on this server", "none", "install PostgreSQL's packages") from None
        return found.pw_uid, found.pw_gid

    def read_json(self, absolute: str) -> Dict[str, Any]:
        """The JSON object in a state file of ours, empty if there is none yet."""
        path = self.path(absolute)
        if not path.exists():
            return {}
        found: Dict[str, Any] = json.loads(path.read_bytes())
        return found

    def write_json(self, absolute: str, content: Dict[str, Any]) -> None:
        self.write_durably(absolute, (json.dumps(content, indent=1, sort_keys=True) + "\n").encode())

    @contextlib.contextmanager
    def only_one(self, name: str, patience: float) -> Iterator[None]:
        """Hold this server's lock `name`; wait `patience` seconds for another run, then refuse. The kernel frees it on any exit."""
        lock = self.path(f"{STATE_FOLDER}/{name}.lock")
        lock.parent.mkdir(parents=True, exist_ok=True)
        with lock.open("a") as file:
            deadline = self.monotonic() + patience
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if self.monotonic() > deadline:
                        raise Refusal(
                            f"no other run of the agent's {name} on this server",
                            f"one still held the lock after {patience:.0f} s",
                            "wait for it (`ps -ef | grep agent.pyz`), then run `pulumi up` again",
                        ) from None
                    self.sleep(0.05)
            yield
