"""Which machine this is, and which cluster: a journal that was copied elsewhere, or stayed while its cluster went, is of neither."""

from __future__ import annotations

import hashlib
import struct

from agent.server import Server

# A clone of a virtual machine may keep the first, and has another second one (machine-id(5); SMBIOS, "System Information", UUID).
SOURCES = ("/etc/machine-id", "/sys/class/dmi/id/product_uuid")


def of_machine(server: Server) -> str:
    """A digest, for a machine's id is not to be told to others (machine-id(5)); "" where the machine has none."""
    told = [_text(server, source) for source in SOURCES]
    return hashlib.sha256("\n".join(["pgleap", *told]).encode()).hexdigest()[:16] if any(told) else ""


def _text(server: Server, source: str) -> str:
    try:
        text = server.path(source).read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""
    return "" if text == "uninitialized" else text


def of_cluster(server: Server, data: str) -> str:
    """The system identifier of the cluster in a data folder, as pg_controldata prints it; "" if there is none.

    It is the first member of global/pg_control (PostgreSQL's src/include/catalog/pg_control.h): no process is started for it.
    """
    try:
        with server.path(f"{data}/global/pg_control").open("rb") as file:
            first = file.read(8)
    except OSError:
        return ""
    return str(struct.unpack("=Q", first)[0]) if len(first) == 8 else ""
