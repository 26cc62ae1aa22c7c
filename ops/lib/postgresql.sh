# shellcheck shell=bash
# A private PostgreSQL cluster with password login, on loopback only and without a Unix socket.

# postgresql_programs: the folder of the newest installed version, or of the one that made the existing cluster.
postgresql_programs() {
    local cluster_version folder
    if cluster_version=$(cat "$(recall POSTGRESQL_DIRECTORY)/PG_VERSION" 2>/dev/null) &&
        [[ -x /usr/lib/postgresql/$cluster_version/bin/postgres ]]; then
        printf '%s' "/usr/lib/postgresql/$cluster_version/bin"
        return
    fi
    folder=$(find /usr/lib/postgresql/*/bin -maxdepth 1 -name postgres 2>/dev/null | sort -V | tail -n 1)
    [[ -n $folder ]] || folder=$(readlink -f "$(command -v postgres)") || return 1
    [[ -x ${folder%/*}/initdb ]] || return 1
    printf '%s' "${folder%/*}"
}

postgresql_version() { "$(postgresql_programs)/postgres" --version | sed 's/[^0-9]*\([0-9.]*\).*/\1/'; }

postgresql_is_installed() {
    postgresql_programs >/dev/null && (($(postgresql_version | cut -d. -f1) >= 13))
}

postgresql_url() {
    printf 'postgresql://fleet:%s@127.0.0.1:%s/fleet' "$(recall POSTGRESQL_PASSWORD)" "$(recall POSTGRESQL_PORT)"
}

# PostgreSQL refuses to run as root: then an unprivileged user runs it.
postgresql_user() {
    if getent passwd postgres >/dev/null; then
        printf postgres
    else
        printf nobody
    fi
}

# The words before a command that let this user run it; none when the script itself is an ordinary user's.
as_postgresql_user=()
postgresql_choose_user() {
    local user
    ((EUID == 0)) || return 0
    user=$(postgresql_user)
    as_postgresql_user=(setpriv "--reuid=$user" "--regid=$(id -gn "$user")" --clear-groups)
}

# postgresql_choose_directory: in the checkout when the user that runs PostgreSQL can reach it there, else a folder of
# its own under TMPDIR.
postgresql_choose_directory() {
    local directory=$state_dir/postgresql
    if recall POSTGRESQL_DIRECTORY >/dev/null && [[ -d $(recall POSTGRESQL_DIRECTORY) ]]; then
        return
    fi
    if ! "${as_postgresql_user[@]}" test -x "$state_dir"; then
        directory=$(mktemp -d "${TMPDIR:-/tmp}/fleet-$stack_name-postgresql.XXXXXX")
        if ! "${as_postgresql_user[@]}" test -x "${directory%/*}"; then
            rmdir "$directory"
            directory=$(mktemp -d "/tmp/fleet-$stack_name-postgresql.XXXXXX")
        fi
    fi
    mkdir -p "$directory"
    chmod 700 "$directory"
    ((EUID != 0)) || chown "$(postgresql_user):" "$directory"
    store POSTGRESQL_DIRECTORY "$directory"
}

# postgresql_create DIRECTORY PROGRAMS: the cluster, then the fleet's role and database in single-user mode, before
# anyone can connect. Its superuser has no password and so no way in.
postgresql_create() {
    find "$1" -mindepth 1 -delete
    "${as_postgresql_user[@]}" "$2/initdb" -D "$1" -U postgres -E UTF8 --locale=C --auth=trust
    printf 'host all all 127.0.0.1/32 scram-sha-256\n' >"$1/pg_hba.conf"
    "${as_postgresql_user[@]}" "$2/postgres" --single -D "$1" -c password_encryption=scram-sha-256 \
        -c exit_on_error=on postgres <<SQL
CREATE ROLE fleet LOGIN CREATEDB PASSWORD '$(recall POSTGRESQL_PASSWORD)' IN ROLE pg_monitor;
CREATE DATABASE fleet OWNER fleet;
SQL
    "${as_postgresql_user[@]}" touch "$1/fleet-database-is-complete"
}

postgresql_configure() {
    local directory
    choose_secret POSTGRESQL_PASSWORD
    choose_port POSTGRESQL_PORT
    postgresql_choose_user
    postgresql_choose_directory
    directory=$(recall POSTGRESQL_DIRECTORY)
    if [[ ! -e $directory/fleet-database-is-complete ]]; then
        (cd / && postgresql_create "$directory" "$(postgresql_programs)" >>"$state_dir/logs/initdb.log" 2>&1)
    fi
}

# For a small machine: memory that a laptop can spare, few checkpoints, compressed full-page images. What a crash may
# not lose (fsync, synchronous_commit, full_page_writes) and autovacuum stay at PostgreSQL's own defaults.
postgresql_settings=(
    -c listen_addresses=127.0.0.1
    -c unix_socket_directories=
    -c max_connections=100
    -c shared_buffers=256MB
    -c effective_cache_size=1GB
    -c wal_compression=on
    -c wal_buffers=16MB
    -c max_wal_size=2GB
    -c checkpoint_timeout=15min
    -c checkpoint_completion_target=0.9
    -c random_page_cost=1.1
    # Statements here are short: compiling them costs more than it gains.
    -c jit=off
)

postgresql_start() (
    directory=$(recall POSTGRESQL_DIRECTORY)
    postgresql_choose_user
    postgresql_forget_stale_lock "$directory"
    cd /
    launch "$state_dir/postgresql.pid" "$state_dir/logs/postgresql.log" "${as_postgresql_user[@]}" \
        "$(postgresql_programs)/postgres" -D "$directory" -p "$(recall POSTGRESQL_PORT)" "${postgresql_settings[@]}"
)

# postgresql_forget_stale_lock DIRECTORY: after a crash PostgreSQL refuses to start while any process has the pid in
# its lock file, also one that has nothing to do with it.
postgresql_forget_stale_lock() {
    local pid
    pid=$(head -n 1 "$1/postmaster.pid" 2>/dev/null) || return 0
    grep -qazF -- "$1" "/proc/$pid/cmdline" 2>/dev/null || rm -f "$1/postmaster.pid"
}

# The eighth line of the lock file is the server's own word on its state.
postgresql_answers() {
    local lines
    mapfile -t lines <"$(recall POSTGRESQL_DIRECTORY)/postmaster.pid"
    [[ ${lines[0]:-} == "$(running_pid "$state_dir/postgresql.pid")" && ${lines[7]:-} == ready* ]]
}
