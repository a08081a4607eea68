"""A command run inside the servers' image, which has both PostgreSQL versions, on a copy that is gone with the command.

For tests that need two versions on a machine that has one: the image's programs do not run outside of it.
"""

import os
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from rehearsal.lab import image, packages
from rehearsal.lab.place import REPOSITORY, Report

# All of it lies in memory, and in namespaces that end with the command: whatever happens, no mount, process or shared memory is left.
_NAMESPACES = ("unshare", "--mount", "--propagation=slave", "--pid", "--ipc", "--fork", "--kill-child")
_ENTER = """
image=$1 folder=$2
shift 2
at=$image/mnt  # empty in the image, and seen here alone
mount -t tmpfs -o mode=0755 pgleap-inside "$at"
mkdir "$at/upper" "$at/work" "$at/root"
mount -t overlay -o "lowerdir=$image,upperdir=$at/upper,workdir=$at/work" pgleap-inside "$at/root"
root=$at/root
mount --rbind /dev "$root/dev"
mount --rbind /sys "$root/sys"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=1777 pgleap-inside "$root/dev/shm"
mount -t tmpfs -o mode=1777 pgleap-inside "$root/tmp"
while [ "$1" != -- ]; do
    if [ -d "$1" ]; then mkdir -p "$root$1"; else rm -f "$root$1"; touch "$root$1"; fi
    mount --rbind "$1" "$root$1"
    shift
done
shift
chroot "$root" ldconfig  # for a Python in /usr/local
# Not by exec: this shell is process 1, and buries what the command leaves.
chroot "$root" env --chdir="$folder" "$@"
"""


def enter(command: Sequence[str], report: Report) -> NoReturn:
    """Become the command, run by root inside the image with the repository as its working directory; its exit status is this process's.

    Raises LabError when this machine cannot have a lab, or the image cannot be made.
    """
    packages.install(report)
    argv = enters(image.ensure(report), command)
    sys.stdout.flush()
    os.execvp(argv[0], argv)  # noqa: S606 - a list of arguments, and no shell


def enters(root: Path, command: Sequence[str]) -> list[str]:
    """The program that does it, with its arguments; `root` is the image's."""
    interpreter = Path(sys._base_executable)  # type: ignore[attr-defined] # what venv itself links to
    shown = [str(path) for path in brought(Path(sys.prefix).resolve(), Path(sys.base_prefix), interpreter)]
    return [*_NAMESPACES, "sh", "-euc", _ENTER, "inside", str(root), str(REPOSITORY), *shown, "--", *command]


def brought(environment: Path, python: Path, interpreter: Path) -> list[Path]:
    """What is seen inside at its own path: the repository, the virtual environment if it lies elsewhere, and its Python, whose prefix is `python`.

    A distribution's own Python shares its prefix with all else there is; of that only the interpreter, by both of its names, and its library come along.
    """
    folders = [REPOSITORY] if environment.is_relative_to(REPOSITORY) else [REPOSITORY, environment]
    if python == Path("/usr"):
        return [*folders, interpreter, interpreter.with_name("python3"), Path(sysconfig.get_path("stdlib"))]
    return [*folders, python]
