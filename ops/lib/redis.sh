# shellcheck shell=bash
# A private Redis with a password and one restricted user per portal, on loopback only.

redis_is_installed() { command -v redis-server >/dev/null; }

redis_version() { redis-server --version | sed -n 's/.* v=\([0-9.]*\).*/\1/p'; }

# The user is named because some clients take an empty name in the address literally.
redis_url() { printf 'redis://default:%s@127.0.0.1:%s/0' "$(recall REDIS_PASSWORD)" "$(recall REDIS_PORT)"; }

redis_portal_urls() {
    local portal urls=''
    for portal in "${portals[@]}"; do
        urls+="${urls:+,}$portal=redis://$portal:$(recall "REDIS_PASSWORD_$portal")@127.0.0.1:$(recall REDIS_PORT)/0"
    done
    printf '%s' "$urls"
}

# redis_portal_rules PORTAL: reads and listens to the outcomes of its own challenges and enrollments, and nothing else. Older servers
# refuse rules that they don't know: channels came with 6.2, CLIENT SETINFO with 7.2.
redis_portal_rules() {
    local version major minor
    version=$(redis_version)
    IFS=. read -r major minor _ <<<"$version"
    minor=$((major * 100 + minor))
    printf '~mfa:outcome:%s:* ~mfa:enrollment:%s:* ' "$1" "$1"
    ((minor < 602)) || printf 'resetchannels &mfa:outcome:%s:* &mfa:enrollment:%s:* ' "$1" "$1"
    printf -- '-@all +get +mget +exists +ttl +pttl +subscribe +psubscribe +unsubscribe +punsubscribe '
    printf -- '+ping +hello +auth +select +client|setname'
    ((minor < 702)) || printf ' +client|setinfo'
}

redis_configure() {
    local home=$state_dir/redis portal
    choose_secret REDIS_PASSWORD
    for portal in "${portals[@]}"; do choose_secret "REDIS_PASSWORD_$portal"; done
    choose_port REDIS_PORT
    mkdir -p "$home"
    chmod 700 "$home"
    {
        cat <<CONF
bind 127.0.0.1
port $(recall REDIS_PORT)
dir "$home"
daemonize no
# Outcomes survive a restart; a crash of the machine loses a second at most, and the fleet writes those again.
appendonly yes
appendfsync everysec
# An outcome is never dropped to make room: a full server refuses writes, and the fleet tries again.
maxmemory-policy noeviction
requirepass $(recall REDIS_PASSWORD)
CONF
        for portal in "${portals[@]}"; do
            printf 'user %s on >%s %s\n' "$portal" "$(recall "REDIS_PASSWORD_$portal")" "$(redis_portal_rules "$portal")"
        done
    } | write_private "$home/redis.conf"
}

redis_start() {
    launch "$state_dir/redis.pid" "$state_dir/logs/redis.log" redis-server "$state_dir/redis/redis.conf"
}

# redis_forget: removes all data of a server that does not run.
redis_forget() { find "$state_dir/redis" -mindepth 1 ! -name redis.conf -delete; }

redis_answers() {
    local reply=''
    exec 8<>"/dev/tcp/127.0.0.1/$(recall REDIS_PORT)" || return 1
    printf 'AUTH %s\r\nPING\r\n' "$(recall REDIS_PASSWORD)" >&8
    IFS= read -r -t 2 reply <&8 && IFS= read -r -t 2 reply <&8 || reply=''
    exec 8>&-
    [[ $reply == +PONG* ]]
}
