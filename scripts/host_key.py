"""python -m scripts.host_key NAME: makes the SSH host key of a server that the program makes on EC2, and puts both halves into the
stack's config. The private half becomes a secret there; it is on no disk and in no command line.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from components.host_keys import KEY

PROJECT = Path(__file__).resolve().parent.parent
SECONDS = 60
NOT_DONE = 2

app = typer.Typer(add_completion=False, help=__doc__)


class KeyNotSetError(Exception):
    """The stack's config was not changed, or not wholly; the message says what to do."""


def key_pair() -> tuple[str, str]:
    """A new key of type ed25519: its public half, "ssh-ed25519 AAAA...", and the private one in OpenSSH's format."""
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    return public, key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()


def set_host_key(name: str, stack: str | None = None, project: Path = PROJECT) -> str:
    """Give the server `name` a new host key, unless it has a private one; the public half. Raises KeyNotSetError."""
    path = f"{KEY}.{name}"
    if _pulumi(project, stack, "get", "--path", path).returncode == 0:
        raise KeyNotSetError(
            f"Expected no private host key of {name} yet, found one: an instance that was made with it would not be known any more.\n"
            f"To do: if there is no such instance, pulumi config rm --path {path}, and again."
        )
    public, private = key_pair()
    # The secret first: a public half alone would look like the key of a server that is there.
    for arguments, given in (
        (("--secret", path), private),
        (("--plaintext", f"servers.{name}.hostKey", "--", public), ""),
    ):
        done = _pulumi(project, stack, "set", "--path", *arguments, given=given)
        if done.returncode != 0:
            raise KeyNotSetError(
                f"Expected the stack's config to take the host key of {name}, found: {done.stderr.strip()}\n"
                f"To do: pulumi stack select (or `--stack`), its passphrase; then pulumi config rm --path {path}, and again."
            )
    return public


def _pulumi(
    project: Path, stack: str | None, verb: str, *arguments: str, given: str = ""
) -> subprocess.CompletedProcess[str]:
    options = ["--stack", stack] if stack else []
    argv = ["pulumi", "--non-interactive", "--color=never", "config", verb, *options, *arguments]
    try:
        return subprocess.run(
            argv, cwd=project, input=given, capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except FileNotFoundError:
        raise KeyNotSetError("Expected `pulumi` on PATH, found none.\nTo do: install the Pulumi CLI.") from None


@app.command(help=__doc__)
def main(
    name: Annotated[str, typer.Argument(help="the server's name, its key in pgleap:servers")],
    stack: Annotated[str | None, typer.Option(help="the stack, if not the selected one")] = None,
) -> None:
    try:
        public = set_host_key(name, stack)
    except KeyNotSetError as not_set:
        print(f"pgleap: {not_set}", file=sys.stderr)
        raise typer.Exit(NOT_DONE) from None
    print(f"{name}: {public}")


if __name__ == "__main__":
    app()
