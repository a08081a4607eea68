"""Where Ansible and pyinfra are installed: a virtual environment of the bench's own, kept in the cache, made when it is missing.

Not .venv: they would cost every check and every test their installation.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import sys
from pathlib import Path

from rehearsal.engine.engine import cache_folder
from rehearsal.lab.place import REPOSITORY, Report, call

REQUIREMENTS = REPOSITORY / "requirements" / "bench.txt"
# Written last: an environment without it was begun and not finished.
_FINISHED = ".finished"


def ensure(report: Report) -> Path:
    """The environment's folder of programs. Two callers wait for each other. Raises LabError when pip fails."""
    key = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = cache_folder() / f"bench-venv-{key}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / _FINISHED).exists():
            report("Installing Ansible and pyinfra in an environment of the bench's own (once; a minute) ...")
            shutil.rmtree(folder, ignore_errors=True)
            call(sys.executable, "-m", "venv", folder)
            call(folder / "bin" / "pip", "install", "--quiet", "--require-hashes", "-r", REQUIREMENTS)
            (folder / _FINISHED).touch()
    return folder / "bin"


def version(programs: Path, package: str) -> str:
    """The version of a package that is installed there."""
    ask = "import importlib.metadata, sys; print(importlib.metadata.version(sys.argv[1]))"
    return call(programs / "python", "-c", ask, package).strip()
