"""Copies texts, files and folders to a server, into the places that the real plugin would choose.

A file or a text goes to the path itself, in place of a file that is there; parent folders are made. If the path is a
folder already, a file goes into it under its own name, and a text, which has none, is refused. A folder always goes
into the path, which becomes a folder if it is none: under its own name, or, written with a slash at its end, without.
"""

import os
import posixpath
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncssh

from .transport import TransportError

_GO_REASONS: dict[type[asyncssh.SFTPError], str] = {
    asyncssh.SFTPNoSuchFile: "file does not exist",
    asyncssh.SFTPPermissionDenied: "permission denied",
    asyncssh.SFTPFailure: 'sftp: "Failure" (SSH_FX_FAILURE)',
}


async def upload(client: asyncssh.SFTPClient, source: bytes | str, path: str) -> None:
    """Puts a text, or the local file or folder named `source`, at `path` on the server. Raises TransportError."""
    there = await _is_folder(client, path)
    if isinstance(source, bytes):
        if there:
            raise TransportError(
                f"remote path {path} is a directory; when using a text asset, remotePath must be a file path"
            )
        await _make_parents(client, path)
        await _write(client, source, path)
        return
    try:
        is_folder = stat.S_ISDIR(os.stat(source).st_mode)  # noqa: PTH116 -- a path object would lose the last slash
    except OSError as error:
        raise TransportError(f"open {source}: {_reason(error)}") from error
    if not is_folder:
        if there:
            path = posixpath.join(path, posixpath.basename(source))
        elif there is None:
            await _make_parents(client, path)
        await _write(client, Path(source).read_bytes(), path)
        return
    if there is None:
        with _saying(f"failed to create remote directory {path}"):
            await client.makedirs(path, exist_ok=True)
    if not source.endswith("/"):
        path = posixpath.join(path, posixpath.basename(source))
    await _copy_folder(client, Path(source), path)


async def _copy_folder(client: asyncssh.SFTPClient, source: Path, path: str) -> None:
    there = await _is_folder(client, path)
    if there is False:
        raise TransportError(f"remote path {path} exists but is not a directory")
    if there is None:
        with _saying(f"failed to create remote directory {path}"):
            await client.mkdir(path)
    for entry in sorted(source.iterdir()):
        target = posixpath.join(path, entry.name)
        if entry.is_dir() and not entry.is_symlink():
            await _copy_folder(client, entry, target)
        else:
            await _write(client, entry.read_bytes(), target)


async def _is_folder(client: asyncssh.SFTPClient, path: str) -> bool | None:
    """Whether there is a folder at `path`; None if there is nothing."""
    with _saying(f"failed to stat remote path {path}"):
        try:
            found = await client.stat(path)
        except asyncssh.SFTPNoSuchFile:
            return None
    return found.type == asyncssh.FILEXFER_TYPE_DIRECTORY or stat.S_ISDIR(found.permissions or 0)


async def _make_parents(client: asyncssh.SFTPClient, path: str) -> None:
    with _saying(f"failed to create parent directories for {path}"):
        await client.makedirs(posixpath.dirname(path) or ".", exist_ok=True)


async def _write(client: asyncssh.SFTPClient, content: bytes, path: str) -> None:
    with _saying(f"failed to create remote file {path}"):
        file = await client.open(path, "wb")
    with _saying(f"failed to write to remote path {path}"):
        async with file:
            await file.write(content)


@contextmanager
def _saying(what: str) -> Iterator[None]:
    try:
        yield
    except asyncssh.SFTPError as error:
        raise TransportError(f"{what}: {_GO_REASONS.get(type(error), error.reason)}") from error


def _reason(error: OSError) -> str:
    return os.strerror(error.errno or 0).lower()
