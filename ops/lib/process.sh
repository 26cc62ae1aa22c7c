# shellcheck shell=bash
# Processes that a script started, by pid file. A pid alone can be recycled, so a pid file also holds the boot and
# the start time of the process: only a process that agrees in both is ours to reuse or to end.

# process_identity PID: boot id and start time; fails when the process is gone or a zombie.
process_identity() {
    local stat fields
    { stat=$(<"/proc/$1/stat"); } 2>/dev/null || return 1
    # The command name in parentheses may itself hold blanks and parentheses.
    read -ra fields <<<"${stat##*) }"
    [[ ${fields[0]} != [ZX] ]] || return 1
    printf '%s/%s' "$(</proc/sys/kernel/random/boot_id)" "${fields[19]}"
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

# await_end PID_FILE SECONDS: waits for a process that was told to stop, kills it after the limit, forgets it.
await_end() {
    local deadline=$(($(milliseconds) + $2 * 1000))
    while running_pid "$1" >/dev/null; do
        if (($(milliseconds) > deadline)); then
            signal_process "$1" KILL
        fi
        sleep 0.05
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
        sleep 0.05
    done
}
