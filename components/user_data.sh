#!/bin/sh
# The first boot of a new database server: its data volume is formatted, if nothing is on it, and mounted; both PostgreSQL versions
# are installed, without a cluster. Running it again does no harm:   sudo sh /var/lib/cloud/instance/scripts/runcmd
#
# Arguments: the layout (debian or rhel), the mount point, the volume's size in GiB, the old version, the new version.
set -eu

layout=$1 mount=$2 gib=$3
shift 3

label=pgleap-data # XFS takes 12 characters
disk_seconds=600

say() {
    echo "pgleap: $*" >&2
}

fail() {
    say "$*"
    exit 1
}

install_packages() {
    if [ "$layout" = debian ]; then
        DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "$@"
    else
        dnf install -y "$@"
    fi
}

# A disk of exactly this size that nothing is on. Instance storage is empty as well, and loses its content when the server stops.
empty_disk() {
    lsblk --noheadings --nodeps --bytes --paths --output NAME,TYPE,SIZE | while read -r name type size; do
        if [ "$type" != disk ] || [ "$size" != "$((gib * 1024 * 1024 * 1024))" ]; then continue; fi
        case $(lsblk --noheadings --nodeps --output MODEL "$name") in *"Instance Storage"*) continue ;; esac
        if [ "$(lsblk --noheadings --output NAME "$name" | wc -l)" != 1 ]; then continue; fi
        if [ -z "$(wipefs --noheadings "$name")" ]; then echo "$name"; fi
    done
}

# The volume is attached a while after the server has booted.
wait_for_volume() {
    waited=0
    while [ "$waited" -lt "$disk_seconds" ]; do
        if blkid -L "$label" >/dev/null; then return; fi
        disks=$(empty_disk)
        case $(echo "$disks" | wc -w) in
            0) ;;
            1)
                say "formatting $disks"
                mkfs.xfs -L "$label" "$disks" >&2
                udevadm settle
                return
                ;;
            *) fail "expected one empty disk of $gib GiB, found several:" "$disks" ;;
        esac
        sleep 2
        waited=$((waited + 2))
    done
    fail "expected the data volume within $disk_seconds s: no disk is labelled $label, and no disk of $gib GiB is empty"
}

mount_volume() {
    if mountpoint -q "$mount"; then
        say "$mount is mounted already"
        return
    fi
    command -v mkfs.xfs >/dev/null || install_packages xfsprogs
    wait_for_volume
    mkdir -p "$mount"
    options=noatime,nofail,x-systemd.device-timeout=60
    # Debian's units wait for the mount by themselves (RequiresMountsFor); those of the PGDG RPMs do not.
    if [ "$layout" = rhel ]; then
        for version; do
            options="$options,x-systemd.before=postgresql-$version.service,x-systemd.required-by=postgresql-$version.service"
        done
    fi
    if ! grep -q "^LABEL=$label " /etc/fstab; then
        echo "LABEL=$label $mount xfs $options 0 0" >>/etc/fstab
    fi
    systemctl daemon-reload
    mount "$mount"
    say "mounted $mount"
}

programs_missing() {
    for version; do
        case $layout in
            debian) program=/usr/lib/postgresql/$version/bin/postgres ;;
            *) program=/usr/pgsql-$version/bin/postgres ;;
        esac
        if [ ! -x "$program" ]; then return 0; fi
    done
    return 1
}

# The distribution's packages where it has both versions, else PGDG's.
install_on_debian() {
    apt-get update -q
    install_packages ca-certificates python3 postgresql-common
    # Before the servers: each would make and start a cluster of its own.
    sed -i '/^#*create_main_cluster/d' /etc/postgresql-common/createcluster.conf
    echo 'create_main_cluster = false' >>/etc/postgresql-common/createcluster.conf
    packages=
    for version; do
        packages="$packages postgresql-$version"
    done
    # shellcheck disable=SC2086 # a list of words
    if ! apt-get install --simulate -q $packages >/dev/null 2>&1; then
        /usr/share/postgresql-common/pgdg/apt.postgresql.org.sh -y
    fi
    # shellcheck disable=SC2086
    install_packages $packages
}

install_on_rhel() {
    dnf install -y "https://download.postgresql.org/pub/repos/yum/reporpms/EL-$(rpm -E %rhel)-$(uname -m)/pgdg-redhat-repo-latest.noarch.rpm"
    # The distribution's own module would hide PGDG's packages, where there is one (9 has, 10 has none).
    dnf -qy module disable postgresql || say "no module postgresql to disable"
    packages=
    for version; do
        packages="$packages postgresql$version-server postgresql$version-contrib"
    done
    # shellcheck disable=SC2086 # a list of words
    install_packages python3 $packages
    restorecon -R "$mount"
}

mount_volume "$@"
if programs_missing "$@"; then
    case $layout in
        debian) install_on_debian "$@" ;;
        *) install_on_rhel "$@" ;;
    esac
else
    say "PostgreSQL $* is installed already"
fi
# A volume that another server had bears that server's number of the user.
chown postgres:postgres "$mount"
find "$mount" -mindepth 1 -maxdepth 1 ! -user postgres -exec chown -R postgres:postgres {} +
say "done"
