# shellcheck shell=bash
# What the scripts say: plain lines, failures with a log's last lines, and long steps with their elapsed time.

if [[ -t 1 && -z ${NO_COLOR:-} ]]; then
    green=$'\e[32m' red=$'\e[31m' bold=$'\e[1m' plain=$'\e[0m'
else
    green='' red='' bold='' plain=''
fi

say() { printf '%s\n' "$*"; }

heading() { printf '%s%s%s\n' "$bold" "$*" "$plain"; }

# die CODE TEXT…: one line on stderr, then the end of the script.
die() {
    local code=$1
    shift
    printf '%s%s%s\n' "$red" "$*" "$plain" >&2
    exit "$code"
}

# show_log_end FILE [LINES]: what a reader needs of a log after a failure, on stderr.
show_log_end() {
    [[ -s $1 ]] || return 0
    printf -- '--- end of %s\n' "$1" >&2
    tail -n "${2:-20}" "$1" | sed 's/^/    /' >&2
}

milliseconds() {
    # The separator follows the locale.
    local now=${EPOCHREALTIME/[.,]/}
    printf '%s' "$((now / 1000))"
}

# seconds_since MILLISECONDS: "3.4 s"; above two minutes "4 min 12 s".
seconds_since() {
    local elapsed=$(($(milliseconds) - $1))
    if ((elapsed < 120000)); then
        printf '%d.%d s' "$((elapsed / 1000))" "$((elapsed % 1000 / 100))"
    else
        printf '%d min %d s' "$((elapsed / 60000))" "$((elapsed / 1000 % 60))"
    fi
}

ticker=''

start_ticker() {
    [[ -t 1 ]] || return 0
    local title=$1 begin=$2
    # It ends with the script even when the script is killed.
    (while kill -0 $$ 2>/dev/null; do
        printf '\r  … %s  %s ' "$title" "$(seconds_since "$begin")"
        sleep 1
    done) 2>/dev/null &
    ticker=$!
}

stop_ticker() {
    [[ -n $ticker ]] || return 0
    kill "$ticker" 2>/dev/null || true
    wait "$ticker" 2>/dev/null || true
    ticker=''
    printf '\r\e[K'
}

# phase TITLE LOG COMMAND…: runs the command in the foreground (so that Ctrl-C reaches it) with its output in LOG,
# says how long it took and returns its exit code.
phase() {
    local title=$1 log=$2 begin status=0
    shift 2
    begin=$(milliseconds)
    [[ -t 1 ]] || say "  … $title"
    start_ticker "$title" "$begin"
    # In a subshell, so that a trap of the script speaks to the terminal and not to the log.
    ("$@") >>"$log" 2>&1 </dev/null || status=$?
    stop_ticker
    if ((status == 0)); then
        say "  ${green}✓${plain} $title  $(seconds_since "$begin")"
    else
        say "  ${red}✗${plain} $title  $(seconds_since "$begin")"
    fi
    return "$status"
}
