#!/usr/bin/env bash
# The floor: what an expert types on the night, without any tool, as fast as it goes. DB_A streams and its new cluster is there.
#
# Usage: floor.sh SSH_CONFIG PRIMARY REPLICA TARGET TARGET_ADDRESS READS_ADDRESS OLD NEW JOBS NAMES SERVER... [-- SERVER...]
# NAMES: the database names, a basic regular expression; SERVER...: those whose hosts file moves; the ones before `--` are online, and move twice.
set -euo pipefail

config=$1 primary=$2 replica=$3 target=$4 target_address=$5 reads_address=$6 old=$7 new=$8 jobs=$9 names=${10}
shift 10
online=() others=()
while (($#)); do
    if [[ $1 == -- ]]; then
        shift
        others=("$@")
        break
    fi
    online+=("$1")
    shift
done

on() { # on SERVER WORD...: as root there; a script may come on standard input
    local server=$1
    shift
    ssh -F "$config" "$server" "sudo -n $(printf '%q ' "$@")"
}

lead() { # lead ADDRESS SERVER...: every database's name, on all of these servers at once
    local address=$1 server
    shift
    for server in "$@"; do
        on "$server" sed -i "/$names/s/^[0-9.]*/$address/" /etc/hosts </dev/null &
    done
    wait
}

said() { printf '%s %s\n' "$(date +%s.%N)" "$*"; }

# Ahead of the fence: DB_A takes clients as the old primary does, and nothing is left to write out.
on "$primary" cat "/etc/postgresql/$old/main/pg_hba.conf" </dev/null | sed '/pgleap/d' | on "$target" bash -c \
    "cat >/tmp/pg_hba.conf && for version in $old $new; do cat /tmp/pg_hba.conf >/etc/postgresql/\$version/main/pg_hba.conf; done
     runuser -u postgres -- psql -qXc 'SELECT pg_reload_conf()' >/dev/null"
on "$primary" runuser -u postgres -- psql -qXc CHECKPOINT </dev/null

said "reads to the replica"
lead "$reads_address" "${online[@]}"

said "fence"
fence=$(on "$primary" bash -s "$old" <<'FENCE'
set -euo pipefail
cd /
rules=/etc/postgresql/$1/main/pg_hba.conf
printf 'local all postgres peer\nhost replication all all scram-sha-256\nhost all all all reject\n' | cat - "$rules" >/tmp/pg_hba.conf
cat /tmp/pg_hba.conf >"$rules"
ask() { runuser -u postgres -- psql -qXAt; }
printf '%s\n' 'ALTER SYSTEM SET default_transaction_read_only = on;' 'SELECT pg_reload_conf();' | ask >/dev/null
ask >/dev/null <<<"SELECT pg_sleep(0.05); SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
ask <<<'SELECT pg_current_wal_insert_lsn(); SELECT pg_switch_wal()' | sed -n 1p
FENCE
)

said "replay to $fence, promote, upgrade, start"
on "$target" bash -s "$old" "$new" "$jobs" "$fence" <<'UPGRADE'
set -euo pipefail
cd /
old=$1 new=$2 jobs=$3 fence=$4
ask() { runuser -u postgres -- psql -qXAt; }
until [[ $(ask <<<"SELECT pg_last_wal_replay_lsn() >= '$fence'") == t ]]; do sleep 0.02; done
ask <<<'SELECT pg_promote()' >/dev/null
pg_ctlcluster "$old" main stop -m fast
install -d -o postgres -g postgres -m 0700 /var/tmp/pg_upgrade
cd /var/tmp/pg_upgrade
runuser -u postgres -- "/usr/lib/postgresql/$new/bin/pg_upgrade" --link --jobs "$jobs" \
    --old-bindir "/usr/lib/postgresql/$old/bin" --new-bindir "/usr/lib/postgresql/$new/bin" \
    --old-datadir "/var/lib/postgresql/$old/main" --new-datadir "/var/lib/postgresql/$new/main" \
    --old-options "-c config_file=/etc/postgresql/$old/main/postgresql.conf" \
    --new-options "-c config_file=/etc/postgresql/$new/main/postgresql.conf" >/var/tmp/pg_upgrade/said
pg_ctlcluster "$new" main start
UPGRADE

said "writes to the target"
lead "$target_address" "${online[@]}"
# Pools that sit on the replica find their sessions alive there, and every write fails.
on "$replica" runuser -u postgres -- psql -qXAtc \
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND client_addr IS NOT NULL" </dev/null >/dev/null
said "done"

# Afterwards: the others, and statistics.
((${#others[@]} == 0)) || lead "$target_address" "${others[@]}"
on "$target" systemd-run --quiet --collect --uid=postgres "/usr/lib/postgresql/$new/bin/vacuumdb" --all --analyze-in-stages --jobs "$jobs" </dev/null
