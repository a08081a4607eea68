"""The kinds of value a stack config holds: what each must look like, and what to say if it does not. Pure."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator

HOST_KEY_TYPES = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
)
# pulumi-command 1.2 offers the server a known key's own type alone, for this one the signature with SHA-1: sshd refuses it since 8.8.
REFUSED_HOST_KEY_TYPE = "ssh-rsa"
LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.IGNORECASE)
# systemd.unit(5): these characters, at most 255, and a suffix. Only what can be stopped by itself and runs tasks.
UNIT = re.compile(r"[A-Za-z0-9:_.\\@-]{1,245}\.(service|timer|socket|path)")


def shown(value: object) -> str:
    """A value as it stands in a message: quoted if it is text, and never longer than a line has room for."""
    text = f'"{value}"' if isinstance(value, str) else str(value)
    text = "".join(character if character.isprintable() else "?" for character in text)
    return text if len(text) <= 60 else f"{text[:56]}..."


def has_control_characters(text: str) -> bool:
    """Line ends, tabs, NUL and the like: what could end a line or a field where the text is written to."""
    return any(ord(character) < 0x20 or 0x7F <= ord(character) < 0xA0 for character in text)


def whole_number(value: object) -> object:
    """Pydantic takes true for 1; a person who writes `jobs: true` does not mean 1."""
    if isinstance(value, bool):
        raise ValueError(f"{str(value).lower()} is not a whole number")  # noqa: TRY004 - pydantic gathers ValueErrors only
    return value


def one_item_is_no_list(value: object) -> object:
    if isinstance(value, str):
        raise ValueError(f"{shown(value)} stands alone; write it as a list, [{value}]")  # noqa: TRY004 - as above
    return value


def _address(text: str) -> str:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise ValueError(f"{shown(text)} is not an IP address; give the private address") from None
    if address.is_unspecified or address.is_multicast or address.is_loopback or "%" in text:
        raise ValueError(f"{shown(text)} is no address that other servers can reach; give the private address")
    if address != plain_address(text):
        raise ValueError(f"{shown(text)} is {plain_address(text)} in another spelling; give {plain_address(text)}")
    return str(address)


def plain_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The one address that a text spells: an IPv4 address written as IPv6's (RFC 4291, 2.5.5) is the IPv4 address. Raises ValueError."""
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv4Address):
        return address
    # The older of the two forms, ::10.0.0.1, has 96 bits of zeros before it; what is below ::1:0 is no such address, as ::1.
    compatible = ipaddress.IPv4Address(int(address)) if 0xFFFF < int(address) < 2**32 else None
    return address.ipv4_mapped or compatible or address


def _host_name(text: str) -> str:
    labels = text.split(".")
    if len(text) > 253 or not all(LABEL.fullmatch(label) for label in labels) or labels[-1].isdecimal():
        raise ValueError(
            f"{shown(text)} is not a host name; use letters, digits and hyphens, with dots between, at most 253 characters"
        )
    return text


def _database_name(text: str) -> str:
    if text.lower() in ("localhost", "localhost.localdomain"):
        raise ValueError(f"{shown(text)} names the server itself; give the name by which clients find the database")
    return _host_name(text)


def _host_or_address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return _host_name(text)


def _server_name(text: str) -> str:
    if not LABEL.fullmatch(text) or text != text.lower():
        raise ValueError(
            f"{shown(text)} is not a server name; use small letters, digits and hyphens, at most 63, no dots, such as db1"
        )
    return text


def _key_fields(blob: bytes) -> list[bytes]:
    """The length-prefixed fields of a public key (RFC 4253, 6.6). Raises ValueError if they do not fill the key exactly."""
    fields = []
    while blob:
        length = int.from_bytes(blob[:4], "big")
        if len(blob) < 4 + length:
            raise ValueError
        fields.append(blob[4 : 4 + length])
        blob = blob[4 + length :]
    return fields


def _host_key(text: str) -> str:
    how = "give what the server has in /etc/ssh/ssh_host_ed25519_key.pub"
    kind, _, rest = text.partition(" ")
    if kind == REFUSED_HOST_KEY_TYPE:
        raise ValueError(
            f"a host key of type {kind} cannot be used: the engine's provider would ask for it signed with SHA-1, which a present sshd"
            f" refuses; give one of another type ({', '.join(HOST_KEY_TYPES)}): {how} (`ssh-keyscan -t ed25519 <address>` shows it; where"
            " there is none, `sudo ssh-keygen -A` there makes it, and sshd shows it once it was restarted)"
        )
    if kind not in HOST_KEY_TYPES or not rest.strip() or has_control_characters(text):
        raise ValueError(f"{shown(text)} is not a host key, a type ({', '.join(HOST_KEY_TYPES)}) and a key; {how}")
    try:
        fields = _key_fields(base64.b64decode(rest.split()[0], validate=True))
    except (binascii.Error, ValueError):
        raise ValueError(f"{shown(text)} is cut short or altered: its key cannot be decoded; {how}") from None
    if len(fields) < 2 or fields[0] != kind.encode():
        raise ValueError(f"{shown(text)} says {kind}, its key is of another type; {how}")
    return f"{kind} {rest.split()[0]}"


def _one_line(text: str) -> str:
    if not text.strip():
        raise ValueError("is empty; give a value, or leave the key out")
    if has_control_characters(text):
        raise ValueError(f"{shown(text)} holds control characters (a line end, a tab); write it on one line")
    return text


def _table(text: str) -> str:
    """A name in the catalog may hold anything, a line end too, but none of its parts is empty; a dot in double quotes is a part's own."""
    part = r'(?:"(?:[^"]|"")+"|[^".][^.]*)'
    if not re.fullmatch(r"\S(?:.*\S)?", text, re.DOTALL) or not re.fullmatch(rf"{part}(?:\.{part}){{2,}}", text):
        raise ValueError(
            f"{shown(text)} is no table; write database.schema.table, double quotes around each part by itself"
        )
    return text


def _reason(text: str) -> str:
    if not text.strip():
        raise ValueError("is empty; say why it is accepted, for whoever reads it after you")
    return _one_line(text)


def _word(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.@-]*", text):
        raise ValueError(f"{shown(text)} is not a plain name; use letters, digits and _ . @ -")
    return text


def _unit(text: str) -> str:
    if not UNIT.fullmatch(text) or "@." in text:
        raise ValueError(
            f"{shown(text)} is not a systemd unit's name; give it in full, such as celery.service or celery@1.service"
        )
    return text


def _absolute_path(text: str) -> str:
    _one_line(text)
    if not text.startswith("/") or ".." in text.split("/"):
        raise ValueError(f"{shown(text)} is not an absolute path")
    return text


def _wal_size(text: str) -> str:
    if not re.fullmatch(r"[1-9][0-9]*(MB|GB|TB)", text):
        raise ValueError(f"{shown(text)} is not an amount of WAL; give a whole number and a unit, such as 64GB")
    return text


def _cidr(text: str) -> str:
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        raise ValueError(f"{shown(text)} is not a network; give one such as 10.20.9.0/24") from None
    if network.prefixlen == 0:
        raise ValueError(f"{shown(text)} is the whole internet; give the operator's or the bastion's network")
    return str(network)


def _aws_id(kind: str) -> AfterValidator:
    def check(text: str) -> str:
        if not re.fullmatch(rf"{kind}-[0-9a-f]{{8,17}}", text):
            raise ValueError(f"{shown(text)} is not an id of AWS; give one such as {kind}-0123456789abcdef0")
        return text

    return AfterValidator(check)


def _target_group(text: str) -> str:
    if not re.fullmatch(
        r"arn:aws[a-z-]*:elasticloadbalancing:[a-z0-9-]+:\d{12}:targetgroup/[A-Za-z0-9-]+/[0-9a-f]+", text
    ):
        raise ValueError(
            f"{shown(text)} is not a target group's ARN; give what `aws elbv2 describe-target-groups` shows"
        )
    return text


def _key_file(value: object) -> object:
    """`~` is the operator's home. Whether the file is there is looked at where the config is read."""
    return Path(_one_line(value)).expanduser() if isinstance(value, str) else value


def _port(port: int) -> int:
    if not 1 <= port <= 65535:
        raise ValueError(f"{port} is not a port; give one from 1 to 65535")
    return port


Address = Annotated[str, AfterValidator(_address)]
DatabaseName = Annotated[str, AfterValidator(_database_name)]
HostOrAddress = Annotated[str, AfterValidator(_host_or_address)]
ServerName = Annotated[str, AfterValidator(_server_name)]
HostKey = Annotated[str, AfterValidator(_host_key)]
OneLine = Annotated[str, AfterValidator(_one_line)]
Table = Annotated[str, AfterValidator(_table)]
Reason = Annotated[str, AfterValidator(_reason)]
Word = Annotated[str, AfterValidator(_word)]
Unit = Annotated[str, AfterValidator(_unit)]
AbsolutePath = Annotated[str, AfterValidator(_absolute_path)]
WalSize = Annotated[str, AfterValidator(_wal_size)]
KeyFile = Annotated[Path, BeforeValidator(_key_file)]
Port = Annotated[int, BeforeValidator(whole_number), AfterValidator(_port)]
Cidr = Annotated[str, AfterValidator(_cidr)]
LaunchId = Annotated[str, _aws_id("ami")]
SubnetId = Annotated[str, _aws_id("subnet")]
VpcId = Annotated[str, _aws_id("vpc")]
SecurityGroupId = Annotated[str, _aws_id("sg")]
InstanceId = Annotated[str, _aws_id("i")]
TargetGroupArn = Annotated[str, AfterValidator(_target_group)]
