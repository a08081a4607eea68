"""The config of a stack, read from EC2 by tag: `python -m scripts.discover --ssh-user deploy > Pulumi.fleet.yaml`. It only reads.

The config goes to stdout, what is missing to stderr; in the config it stands at its place, as a comment with what to do. The tags
are in docs/aws.md. Exit status: 0 complete but for the secrets, 1 something required is missing, 2 nothing could be read.
"""

from __future__ import annotations

import sys
from typing import Annotated, Any

import boto3
import typer
import yaml
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console
from rich.markup import escape

from components.config_errors import SettingsError, config_path
from components.settings import Settings
from scripts.discover.cloud import Cloud
from scripts.discover.config import Wishes, config, secrets
from scripts.discover.found import Found
from scripts.discover.lines import document

PREFIX = "pgleap:"
# Hundreds of console outputs are asked for: EC2 slows down whoever asks fast.
PATIENT = Config(retries={"mode": "adaptive", "max_attempts": 10})


def discover(region: str | None, endpoint: str | None, prefix: str, vpc: str | None) -> Found:
    """Everything that AWS says of the fleet. Raises ClientError and BotoCoreError."""
    session = boto3.Session(region_name=region)
    return Cloud(
        session.client("ec2", endpoint_url=endpoint, config=PATIENT),
        session.client("elbv2", endpoint_url=endpoint, config=PATIENT),
    ).read(prefix, vpc)


def mistakes(written: str) -> tuple[str, ...]:
    """What the program would not take of this config, in its own words; that there are no passwords is no mistake yet. Pure."""
    raw: dict[str, Any] = yaml.safe_load(written)["config"]
    given = {key.partition(":")[2]: value for key, value in raw.items()}
    try:
        Settings.from_config({**given, "password": "to be set", "replicationPassword": "to be set"})
    except SettingsError as error:
        return error.mistakes
    return ()


def main(
    region: Annotated[str | None, typer.Option(help="The region, if not the profile's.")] = None,
    vpc: Annotated[str | None, typer.Option(help="Only servers in this VPC.")] = None,
    tag_prefix: Annotated[str, typer.Option(help="What the tags begin with.")] = PREFIX,
    ssh_user: Annotated[str | None, typer.Option(help="Who may use sudo on every server without a password.")] = None,
    new_version: Annotated[
        int | None, typer.Option(help="The major version to go to, if DB_A has no tag that says.")
    ] = None,
    endpoint_url: Annotated[str | None, typer.Option(help="Another endpoint than AWS's own.")] = None,
) -> None:
    """Print the config of a stack, as EC2 tells it by tag. Changes nothing, there or here."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        with console.status("Asking EC2"):
            found = discover(region, endpoint_url, tag_prefix, vpc)
    except (ClientError, BotoCoreError) as error:
        console.print(
            f"pgleap: Expected: EC2 to answer. Found: {escape(str(error))}\n"
            "To do: see to the region (--region), the credentials and their policy (docs/aws.md)."
        )
        raise typer.Exit(2) from None
    for sentence in (*found.skipped, *found.unclear):
        console.print(escape(sentence))
    if not found.machines:
        console.print(
            f"pgleap: Expected: running instances with the tag {escape(tag_prefix)}role. Found: none in {found.region}.\n"
            "To do: give the fleet its tags (docs/aws.md), or see to --region, --vpc and --tag-prefix."
        )
        raise typer.Exit(2)
    written = document(config(found, Wishes(ssh_user, new_version)))
    sys.stdout.write(written)
    missing = mistakes(written)
    for sentence in missing:
        console.print(escape(sentence))
    for key, _, how in secrets(found):
        console.print(f"{config_path(key)}: yours to set, {how}")
    raise typer.Exit(1 if missing or found.unclear else 0)


if __name__ == "__main__":
    typer.run(main)
