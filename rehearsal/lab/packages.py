"""What the lab needs from the machine: root on Linux, and a few Debian packages."""

import os
import platform
import shutil

from rehearsal.lab.place import LabError, Report, call

PROGRAMS = {
    "mmdebstrap": "mmdebstrap",
    "systemd-nspawn": "systemd-container",
    "ssh": "openssh-client",
    "ssh-agent": "openssh-client",
    "ssh-keygen": "openssh-client",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "mount": "mount",
}
"""Program -> the Debian package that brings it."""


def why_not() -> str | None:
    """One line that says why this machine cannot have a lab, or None."""
    if platform.system() != "Linux":
        return f"The lab needs Linux (network namespaces, systemd-nspawn); this is {platform.system()}."
    if os.geteuid() != 0:
        return "The lab needs root (network namespaces, mounts); run it with sudo."
    missing = _missing()
    if missing and shutil.which("apt-get") is None:
        return f"The lab needs the programs {', '.join(missing)}, and there is no apt-get to install them with."
    return None


def install(report: Report) -> None:
    """Install what is missing, with apt-get. Raises LabError when this machine cannot have a lab, or apt-get fails."""
    reason = why_not()
    if reason is not None:
        raise LabError(reason)
    packages = sorted({PROGRAMS[program] for program in _missing()})
    if not packages:
        return
    report(f"Installing {', '.join(packages)} with apt-get ...")
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    call("apt-get", "update", environment=quiet)
    call("apt-get", "install", "--yes", "--no-install-recommends", *packages, environment=quiet)


def _missing() -> list[str]:
    return [program for program in PROGRAMS if shutil.which(program) is None]
