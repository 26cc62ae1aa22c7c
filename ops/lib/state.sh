# shellcheck shell=bash
# The state of one stack, in .stack/<name>: values that are chosen once (ports, passwords), pid files, logs, data.

# The portals that a private stack knows, each with its own broker and Redis user; `bench` is the load generator.
portals=(operations provider recipients helpdesk bench)

# open_state NAME: sets state_dir; refuses a state that was copied with its checkout, whose pid files, ports and data
# belong to the original.
open_state() {
    [[ $1 =~ ^[a-z][a-z0-9-]{0,30}$ ]] || die 64 "a stack's name has small letters, digits and dashes: '$1'"
    stack_name=$1
    state_dir=$checkout/.stack/$stack_name
    if [[ -r $state_dir/values && $(recall CHECKOUT) != "$checkout" ]]; then
        die 1 "$state_dir belongs to the checkout $(recall CHECKOUT): remove it, or move the checkout back"
    fi
}

create_state() {
    mkdir -p "$state_dir/logs"
    # Passable, for the user that runs PostgreSQL and its data folder; what lies beside that has a mode of its own.
    chmod 711 "$checkout/.stack" "$state_dir"
    chmod 700 "$state_dir/logs"
    if [[ ! -e $state_dir/values ]]; then
        printf 'CHECKOUT=%s\n' "$checkout" | write_private "$state_dir/values"
    fi
}

# lock_state FILE: one script at a time works on a stack. The lock ends with the script.
lock_state() {
    exec 9>"$state_dir/$1"
    flock -w 120 9 || die 75 "another ops script has held $state_dir/$1 for two minutes"
}

# recall KEY: prints the stored value, fails without one.
recall() {
    local key value
    [[ -r $state_dir/values ]] || return 1
    while IFS='=' read -r key value; do
        if [[ $key == "$1" ]]; then
            printf '%s' "$value"
            return 0
        fi
    done <"$state_dir/values"
    return 1
}

# store KEY VALUE
store() {
    local others
    others=$(grep -v "^$1=" "$state_dir/values")
    printf '%s\n' "$others" "$1=$2" | write_private "$state_dir/values"
}

# choose_secret KEY [BYTES]: stores random bytes as hexadecimal digits, once.
choose_secret() {
    recall "$1" >/dev/null || store "$1" "$(od -An -v -N"${2:-16}" -tx1 /dev/urandom | tr -d ' \n')"
}

# choose_port KEY: stores a free port, once; another one if somebody else has taken it meanwhile. Only to be called
# while the server of that port does not run.
choose_port() {
    local port
    if port=$(recall "$1") && ! port_is_bound "$port" listening; then
        return
    fi
    store "$1" "$(free_port)"
}

# write_private FILE: standard input into a file that only its owner can read.
write_private() {
    (umask 077 && cat >"$1.next")
    mv "$1.next" "$1"
}
