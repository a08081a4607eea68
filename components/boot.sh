# shellcheck shell=sh
# The first thing asked of a new server: that its first boot has ended, and well. Nothing is changed.
#
# Arguments: the mount point of the data volume, then every program that must be there. Exit status 0, or 1 with the reason.
set -eu

mount=$1
shift

fail() {
    echo "pgleap: Expected $1. Found: $2." >&2
    echo "To do: see the end of /var/log/cloud-init-output.log on it, mend that, sudo sh /var/lib/cloud/instance/scripts/runcmd; then pulumi up" >&2
    exit 1
}

if command -v cloud-init >/dev/null; then
    echo "waiting for the first boot to end" >&2
    # What matters of it is looked at below; its exit status differs between distributions (2 for a mere warning).
    cloud-init status --wait >/dev/null || echo "cloud-init: $(cloud-init status 2>&1 | tail -n 1)" >&2
fi
mountpoint -q "$mount" || fail "the data volume at $mount" "nothing mounted there"
for program; do
    [ -x "$program" ] || fail "$program" "no such program"
done
echo "{\"changed\": [], \"because\": \"the data volume and both versions are there\"}"
