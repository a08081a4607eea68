"""A folder that holds a usable `pulumi`: found, installed by the vendor's installer, or built from source.

What is found or built once is kept in the cache folder, keyed by a hash of go.mod and go.sum beside this file.
"""

import fcntl
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

Report = Callable[[str], None]

OLDEST_USABLE = (3, 230, 0)
"""The oldest engine on PATH that is used as it is: it attaches to running plugins by a handshake."""

_HERE = Path(__file__).parent
_MODULE = "github.com/pulumi/pulumi/pkg/v3"
_PROGRAM = f"{_MODULE}/cmd/pulumi"
_VERSION_VARIABLE = "github.com/pulumi/pulumi/sdk/v3/go/common/version.Version"

_FIRST_BYTE_SECONDS = 6.0
"""How long the vendor's installer may go without having written anything before it counts as out of reach."""
_INSTALL_SECONDS = 300.0
_REPORT_EVERY_SECONDS = 10.0


class EngineMissingError(RuntimeError):
    """No engine was found and none could be made; the message says what was tried and what to do."""


def ensure(report: Report) -> Path:
    """The folder that holds a usable `pulumi`. `report` gets a sentence whenever something slow begins or goes on.

    Tried in this order: PATH, the cache, the vendor's installer (given up on within seconds when offline), a build
    from the Go module that go.mod names. Two callers at once wait for each other. Raises EngineMissingError.
    """
    on_path = shutil.which("pulumi")
    if on_path is not None and usable(Path(on_path)):
        return Path(on_path).parent
    root = cache_folder() / f"engine-{_key()}"
    root.parent.mkdir(parents=True, exist_ok=True)
    with _only_one(root.with_suffix(".lock"), report):
        for folder in (root, root / "bin"):
            if usable(folder / "pulumi"):
                return folder
        return _install(root, report) or _build(root, report)


def cache_folder() -> Path:
    """Where costly things that can be made again are kept: PGLEAP_CACHE, else `pgleap` in the user's cache folder."""
    named = os.environ.get("PGLEAP_CACHE")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pgleap"


def usable(binary: Path) -> bool:
    """Whether `binary` runs and is of a version that the stand-in plugins can attach to."""
    try:
        answer = subprocess.run(
            [binary, "version"],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
            env={**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    found = re.match(r"v?(\d+)\.(\d+)\.(\d+)", answer.stdout.strip())
    return found is not None and tuple(int(part) for part in found.groups()) >= OLDEST_USABLE


def _key() -> str:
    digest = hashlib.sha256()
    for name in ("go.mod", "go.sum"):
        digest.update((_HERE / name).read_bytes())
    return digest.hexdigest()[:16]


def _version() -> str:
    """The version that go.mod asks for, with its leading v."""
    found = re.search(rf"^\s*{re.escape(_MODULE)} (v\S+)", (_HERE / "go.mod").read_text(), re.MULTILINE)
    if found is None:
        raise EngineMissingError(f"{_HERE / 'go.mod'}: expected a line `{_MODULE} vX.Y.Z`, found none; restore it")
    return found.group(1)


@contextmanager
def _only_one(lock: Path, report: Report) -> Iterator[None]:
    with lock.open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report("engine: another process is making it; waiting")
            fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _install(root: Path, report: Report) -> Path | None:
    """The vendor's installer, in a process group of its own, because its downloads know no time limit."""
    report("engine: trying the vendor's installer")
    target = Path(tempfile.mkdtemp(prefix=root.name, dir=root.parent))
    scratch = target / "tmp"
    scratch.mkdir()
    script = "import sys; from pulumi.automation import PulumiCommand; PulumiCommand.install(root=sys.argv[1])"
    child = subprocess.Popen(
        [sys.executable, "-c", script, str(target)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TMPDIR": str(scratch)},
        start_new_session=True,
    )
    try:
        began = time.monotonic()
        while child.poll() is None:
            arrived = any(found.is_file() and found.stat().st_size for found in scratch.iterdir())
            if time.monotonic() - began > (_INSTALL_SECONDS if arrived else _FIRST_BYTE_SECONDS):
                os.killpg(child.pid, signal.SIGKILL)
                break
            time.sleep(0.1)
        child.wait()
        if usable(target / "bin" / "pulumi"):
            shutil.rmtree(scratch, ignore_errors=True)
            shutil.rmtree(root, ignore_errors=True)
            target.rename(root)
            return root / "bin"
    finally:
        shutil.rmtree(target, ignore_errors=True)
    report("engine: the vendor's installer is out of reach")
    return None


def _build(root: Path, report: Report) -> Path:
    if shutil.which("go") is None:
        raise EngineMissingError(
            f"expected `pulumi` {'.'.join(map(str, OLDEST_USABLE))} or newer on PATH, a reachable installer, "
            "or Go to build it with; found none of them; install Pulumi or Go and start again"
        )
    report(f"engine: building {_version()} from source (some minutes, once)")
    target = Path(tempfile.mkdtemp(prefix=root.name, dir=root.parent))
    try:
        total = _package_count()
        child = subprocess.Popen(
            [
                *("go", "build", "-v", "-trimpath", "-o", str(target / "pulumi")),
                *("-ldflags", f"-s -w -X {_VERSION_VARIABLE}={_version()}", _PROGRAM),
            ],
            cwd=_HERE,
            stderr=subprocess.PIPE,
            text=True,
        )
        said = _follow(child, total, report)
        if child.returncode != 0 or not usable(target / "pulumi"):
            raise EngineMissingError(
                f"expected `go build {_PROGRAM}` to make a working program, found exit {child.returncode}:\n"
                + "\n".join(said[-15:])
                + "\nput a `pulumi` on PATH, or mend what the lines above name, and start again"
            )
        shutil.rmtree(root, ignore_errors=True)
        target.chmod(0o755)
        target.rename(root)
    finally:
        shutil.rmtree(target, ignore_errors=True)
    report("engine: built")
    return root


def _package_count() -> int:
    """How many packages the engine is made of (downloads them if need be); only for the progress lines."""
    listed = subprocess.run(
        ["go", "list", "-deps", _PROGRAM], cwd=_HERE, capture_output=True, text=True, check=False
    ).stdout
    return len(listed.splitlines())


def _follow(child: subprocess.Popen[str], total: int, report: Report) -> list[str]:
    said: list[str] = []
    spoke = time.monotonic()
    assert child.stderr is not None
    for line in child.stderr:
        said.append(line.rstrip())
        if time.monotonic() - spoke >= _REPORT_EVERY_SECONDS:
            spoke = time.monotonic()
            report(f"engine: {len(said)} of about {total} packages")
    child.wait()
    return said
