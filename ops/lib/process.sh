# shellcheck shell=bash
# Processes that a script started, by pid file. A pid alone can be recycled, so a pid file also holds the boot and
# the start time of the process: only a process that agrees in both is ours to reuse or to end.

# read_process_stat PID: sets process_stat to the fields of /proc/PID/stat from the state on.
read_process_stat() {
    local stat
    { stat=$(<"/proc/$1/stat"); } 2>/dev/null || return 1
    # The command name in parentheses may itself hold blanks and parentheses.
    read -ra process_stat <<<"${stat##*) }"
}

# process_identity PID: boot id and start time; fails when the process is gone or a zombie.
process_identity() {
    local process_stat
    read_process_stat "$1" || return 1
    [[ ${process_stat[0]} != [ZX] ]] || return 1
    printf '%s/%s' "$(</proc/sys/kernel/random/boot_id)" "${process_stat[19]}"
}

# remember_process PID_FILE PID
remember_process() {
    printf '%s %s\n' "$2" "$(process_identity "$2" || true)" >"$1"
}

# running_pid PID_FILE: prints the pid while the very process that was remembered is alive.
running_pid() {
    local pid identity
    [[ -s $1 ]] || return 1
    read -r pid identity <"$1" || return 1
    [[ -n $identity && $(process_identity "$pid") == "$identity" ]] || return 1
    printf '%s' "$pid"
}

# launch PID_FILE LOG COMMAND…: starts the command in a session of its own, so that Ctrl-C in the terminal does not
# reach it. Every step replaces the one before, hence $! is the command's pid. What the command writes is its owner's
# only. The log begins anew; the last one is kept beside it.
launch() {
    local pid_file=$1 log=$2
    shift 2
    [[ ! -e $log ]] || mv -f "$log" "$log.previous"
    # 9 is the lock of the script, which must not live on in a server.
    (umask 077 && exec setsid "$@" </dev/null >"$log" 2>&1 9>&-) &
    remember_process "$pid_file" "$!"
}

# signal_process PID_FILE SIGNAL: nothing when it no longer runs.
signal_process() {
    local pid
    if pid=$(running_pid "$1"); then
        kill -s "$2" "$pid" 2>/dev/null || true
    fi
}

# process_is_frozen PID_FILE: whether it runs but was stopped by a signal.
process_is_frozen() {
    local pid process_stat
    pid=$(running_pid "$1") && read_process_stat "$pid" && [[ ${process_stat[0]} == T ]]
}

# process_family PID_FILE: the pids of the process and of its children; nothing when it no longer runs.
process_family() {
    local pid
    pid=$(running_pid "$1") || return 0
    printf '%s\n' "$pid"
    # Processes come and go while this looks at them.
    { grep -lsE "^PPid:[[:space:]]+$pid\$" /proc/[0-9]*/status || true; } | cut -d / -f 3
}

# freeze_process PID_FILE: stops the process and its children by SIGSTOP, the process first: what stands still makes no
# more children.
freeze_process() {
    local family
    signal_process "$1" STOP
    until process_is_frozen "$1" || ! running_pid "$1" >/dev/null; do
        sleep 0.005
    done
    mapfile -t family < <(process_family "$1")
    ((${#family[@]} == 0)) || kill -s STOP "${family[@]}" 2>/dev/null || true
}

thaw_process() {
    local family
    mapfile -t family < <(process_family "$1")
    ((${#family[@]} == 0)) || kill -s CONT "${family[@]}" 2>/dev/null || true
}

# kill_process PID_FILE: ends the process and its children at once, and returns when none is left that could hold a
# port, a lock or shared memory.
kill_process() {
    local family pid identity identities=()
    freeze_process "$1"
    mapfile -t family < <(process_family "$1")
    for pid in "${family[@]}"; do
        identities+=("$pid $(process_identity "$pid" || true)")
    done
    ((${#family[@]} == 0)) || kill -s KILL "${family[@]}" 2>/dev/null || true
    for identity in "${identities[@]}"; do
        pid=${identity%% *}
        while [[ "$pid $(process_identity "$pid" || true)" == "$identity" && $identity != *' ' ]]; do
            sleep 0.005
        done
    done
    rm -f "$1"
}

# await_end PID_FILE SECONDS: waits for a process that was told to stop, kills it after the limit, forgets it.
await_end() {
    local deadline=$(($(milliseconds) + $2 * 1000))
    while running_pid "$1" >/dev/null; do
        if (($(milliseconds) > deadline)); then
            signal_process "$1" KILL
        fi
        sleep 0.02
    done
    rm -f "$1"
}

# await_ready PID_FILE SECONDS COMMAND…: polls the command until it succeeds; fails early when the process ends.
await_ready() {
    local pid_file=$1 deadline=$(($(milliseconds) + $2 * 1000))
    shift 2
    until "$@" 2>/dev/null; do
        running_pid "$pid_file" >/dev/null || return 1
        (($(milliseconds) < deadline)) || return 1
        sleep 0.02
    done
}
