# shellcheck shell=bash
# Loopback ports and the smallest of HTTP, without any package beyond bash and awk.

# port_is_bound PORT [listening]: whether any TCP socket (or, with "listening", a listening one) has this local port.
port_is_bound() {
    local port_suffix tables=(/proc/net/tcp)
    [[ ! -r /proc/net/tcp6 ]] || tables+=(/proc/net/tcp6)
    printf -v port_suffix ':%04X' "$1"
    awk -v suffix="$port_suffix" -v only="${2:-}" '
        substr($2, length($2) - 4) == suffix && (only == "" || $4 == "0A") { found = 1 }
        END { exit !found }
    ' "${tables[@]}"
}

# free_port: a random port below the range from which the kernel serves outgoing connections.
free_port() {
    local port
    while :; do
        port=$((20000 + (RANDOM * 32768 + RANDOM) % 12000))
        if ! port_is_bound "$port"; then
            printf '%s' "$port"
            return
        fi
    done
}

# http_is_ok HOST:PORT PATH: whether a GET is answered with 200 within two seconds.
http_is_ok() {
    local status_line
    exec 8<>"/dev/tcp/${1%:*}/${1##*:}" || return 1
    printf 'GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n' "$2" "$1" >&8
    IFS= read -r -t 2 status_line <&8 || status_line=''
    exec 8>&-
    [[ $status_line == HTTP/1.[01]' 200'* ]]
}
