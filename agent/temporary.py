"""The file beside a file, in which the next content is written before it takes the name: a name of its own for each writer."""

from __future__ import annotations

import contextlib
import glob
import itertools
import os
import time
from pathlib import Path
from typing import BinaryIO, Iterator

# Agents of before gave every writer the same name. One of them may still be at work.
OLD_NAME_SECONDS = 3600
_numbers = itertools.count()


@contextlib.contextmanager
def beside(target: Path) -> Iterator[BinaryIO]:
    """A new file in the same folder, open for writing. It goes if the writer fails, for a full disk must not keep it."""
    path = target.with_name(f"{_prefix(target)}-{os.getpid()}-{next(_numbers)}")
    try:
        with path.open("wb") as file:
            yield file
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def clean(target: Path) -> None:
    """Take away what writers of this file left that died: a file of root's in a data folder stops every base backup."""
    prefix = _prefix(target)
    for path in target.parent.glob(f"{glob.escape(prefix)}*"):
        with contextlib.suppress(OSError):
            if _is_left(path.name[len(prefix) :], path):
                path.unlink()


def _is_left(rest: str, path: Path) -> bool:
    """Whether nobody writes it any more: its process is gone. `rest` is what follows the prefix in its name."""
    pid = rest.split("-")[1] if rest.startswith("-") else ""
    if pid.isdigit():
        return not _lives(int(pid))
    return rest == "" and time.time() - path.stat().st_mtime > OLD_NAME_SECONDS


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _prefix(target: Path) -> str:
    return f".{target.name}.pgleap"
