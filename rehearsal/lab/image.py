"""The root that every host is an overlay of: Debian with systemd, sshd, python3 and both PostgreSQL versions.

Made once by mmdebstrap and kept in the cache folder, under a name that is a hash of what it is made from.
"""

import fcntl
import hashlib
import shlex
import shutil
import tempfile
from pathlib import Path

from rehearsal.engine.engine import cache_folder
from rehearsal.lab.fleet import NEW_VERSION, OLD_VERSION, USER
from rehearsal.lab.place import LabError, Report, call

OLD_SUITE = "bookworm"
NEW_SUITE = "trixie"

_PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "openssh-server", "sudo", "locales", "procps", "iproute2", "iputils-ping"),
    *("python3", "python3-psycopg2", f"postgresql-{OLD_VERSION}", f"postgresql-{NEW_VERSION}"),
)
# The new PostgreSQL, and of what it needs only that for which the old suite's package is too old. Not one of systemd's:
# newer ones refuse to boot on a machine with version 1 control groups, and they come in with the new coreutils.
_FROM_NEW_SUITE = (
    *(f"postgresql-{NEW_VERSION}", f"postgresql-client-{NEW_VERSION}", "libpq5"),
    *("postgresql-common", "postgresql-common-dev", "postgresql-client-common"),
    *("base-files", "init-system-helpers", "libc6", "libc-bin", "libc-l10n", "locales", "libgcc-s1", "gcc-14-base"),
    *("libstdc++6", "libicu76", "libllvm19", "libz3-4", "libzstd1", "libldap2", "libsasl2-2", "libsasl2-modules-db"),
    *("libreadline8t64", "readline-common", "libssl3t64", "openssl", "openssl-provider-legacy"),
    *("openssh-client", "openssh-server", "openssh-sftp-server", "libwtmpdb0"),
)
_LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")

_BEFORE_PACKAGES = {
    "etc/apt/preferences.d/lab": (
        f"Package: *\nPin: release n={NEW_SUITE}\nPin-Priority: 100\n\n"
        f"Package: {' '.join(_FROM_NEW_SUITE)}\nPin: release n={NEW_SUITE}\nPin-Priority: 990\n"
    ),
    "etc/postgresql-common/createcluster.conf": "create_main_cluster = false\nstart_conf = auto\n",
    "etc/locale.gen": "en_US.UTF-8 UTF-8\n",
}
_AFTER_PACKAGES = {
    "etc/default/locale": "LANG=en_US.UTF-8\n",
    "etc/sudoers.d/deploy": f"{USER} ALL=(ALL) NOPASSWD: ALL\n",
    "etc/ssh/sshd_config.d/lab.conf": (
        "HostKey /etc/ssh/ssh_host_ed25519_key\nPasswordAuthentication no\nPermitRootLogin no\nUseDNS no\n"
    ),
    "etc/systemd/journald.conf.d/lab.conf": "[Journal]\nSystemMaxUse=16M\nRuntimeMaxUse=8M\n",
}
# Whatever would take time at boot or wake up later. Of the host keys one is put there for each host, so sshd must not
# make others; the names of the old keys go with it.
_MASKED = (
    *("sshd-keygen.service", "console-getty.service", "getty.target", "systemd-pstore.service", "e2scrub_reap.service"),
    *("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "fstrim.timer"),
    *("dev-hugepages.mount", "sys-fs-fuse-connections.mount", "systemd-update-utmp.service"),
    "systemd-update-utmp-runlevel.service",
)


_HOOKS = (
    'chmod 0440 "$1/etc/sudoers.d/deploy"',
    f'chroot "$1" useradd --create-home --shell /bin/bash {USER}',
    f'chroot "$1" systemctl mask --quiet {" ".join(_MASKED)}',
    'rm -f "$1"/etc/ssh/ssh_host_* "$1"/etc/apt/apt.conf.d/99mmdebstrap "$1"/etc/resolv.conf',
)
_RECIPE = (OLD_SUITE, NEW_SUITE, _PACKAGES, _LEFT_OUT, _BEFORE_PACKAGES, _AFTER_PACKAGES, _HOOKS)
"""All that the image is made from, but for the mirror's state on the day."""


def ensure(report: Report) -> Path:
    """The image's root folder, which nobody may write to. Made if it is not in the cache; two callers wait.

    Raises LabError when the machine's apt sources name no Debian mirror, or mmdebstrap fails.
    """
    image = cache_folder() / f"image-{_key()}"
    image.parent.mkdir(parents=True, exist_ok=True)
    with image.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not image.is_dir():
            report("Making the servers' root image (once; one to two minutes) ...")
            _make(image)
    return image


def _make(image: Path) -> None:
    for left_behind in image.parent.glob("image-making-*"):
        shutil.rmtree(left_behind)
    making = Path(tempfile.mkdtemp(prefix="image-making-", dir=image.parent))
    root = making / "root"
    before = shlex.quote(_lay_out(making / "before", _BEFORE_PACKAGES))
    after = shlex.quote(_lay_out(making / "after", _AFTER_PACKAGES))
    settings = making / "apt.conf"
    settings.write_text(_apt_settings())
    mirror = _mirror()
    call(
        *("mmdebstrap", "--mode=root", "--variant=minbase", "--format=directory", f"--aptopt={settings}"),
        f"--include={','.join(_PACKAGES)}",
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in _LEFT_OUT),
        "--dpkgopt=force-unsafe-io",
        f'--setup-hook=cp -rT {before} "$1"',
        f'--customize-hook=cp -rT {after} "$1"',
        *(f"--customize-hook={hook}" for hook in _HOOKS),
        OLD_SUITE,
        root,
        *(f"deb {mirror} {suite} main" for suite in (NEW_SUITE, OLD_SUITE)),
        environment={"LC_ALL": "C.UTF-8"},
    )
    root.chmod(0o755)
    root.rename(image)
    shutil.rmtree(making)


def _lay_out(folder: Path, files: dict[str, str]) -> str:
    for path, content in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)
    return str(folder)


def _mirror() -> str:
    """The address of the Debian archive that this machine itself is fed from."""
    listed = call(
        *("apt-get", "indextargets", "--format", "$(REPO_URI) $(ORIGIN) $(COMPONENT) $(CODENAME)"),
        "Created-By: Packages",
    )
    for line in listed.splitlines():
        address, origin, component, codename = (line.split(" ") + [""] * 3)[:4]
        if origin == "Debian" and component == "main" and "-" not in codename:
            return address
    raise LabError(
        "Expected a Debian archive with the component main among this machine's apt sources, found none: "
        "add one below /etc/apt/sources.list.d and run `apt-get update`."
    )


def _apt_settings() -> str:
    """How this machine's apt reaches its mirrors (proxies, certificates, what it does not check), for the image's."""
    wanted = ("Acquire::http", "Acquire::https", "Acquire::Check-", "Acquire::Retries")
    found = [line for line in call("apt-config", "dump").splitlines() if line.startswith(wanted)]
    return "\n".join([*found, 'Acquire::Languages "none";', 'APT::Install-Recommends "false";', ""])


def _key() -> str:
    return hashlib.sha256(repr(_RECIPE).encode()).hexdigest()[:12]
