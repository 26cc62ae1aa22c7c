# shellcheck shell=bash
# A private RabbitMQ node with its own epmd, cookie, data and users, on loopback only.

# The packages' own scripts: those in /usr/sbin switch to the system's user and folders.
rabbitmq_scripts() {
    local server
    if [[ -x /usr/lib/rabbitmq/bin/rabbitmq-server ]]; then
        printf /usr/lib/rabbitmq/bin
        return
    fi
    server=$(readlink -f "$(command -v rabbitmq-server)") || return 1
    [[ -r ${server%/*}/rabbitmq-env ]] || return 1
    printf '%s' "${server%/*}"
}

rabbitmq_is_installed() { rabbitmq_scripts >/dev/null && command -v erl epmd >/dev/null; }

rabbitmq_url() { printf 'amqp://fleet:%s@127.0.0.1:%s/%%2f' "$(recall RABBITMQ_PASSWORD)" "$(recall RABBITMQ_PORT)"; }

rabbitmq_portal_urls() {
    local portal urls=''
    for portal in "${portals[@]}"; do
        urls+="${urls:+,}$portal=amqp://$portal:$(recall "RABBITMQ_PASSWORD_$portal")@127.0.0.1:$(recall RABBITMQ_PORT)/%2f"
    done
    printf '%s' "$urls"
}

# rabbitmq_command SCRIPT: sets rabbitmq_command to the words that run one of RabbitMQ's scripts on this node, whatever
# the caller's environment says about other nodes. Every word replaces the one before, so a pid stays the same.
rabbitmq_command() {
    local home=$state_dir/rabbitmq loopback='-kernel inet_dist_use_interface {127,0,0,1}'
    rabbitmq_command=(
        env -i "PATH=$PATH" LANG=C.UTF-8 "HOME=$home/home"
        "ERL_EPMD_PORT=$(recall EPMD_PORT)"
        ERL_EPMD_ADDRESS=127.0.0.1
        "RABBITMQ_NODENAME=fleet-$stack_name@localhost"
        RABBITMQ_NODE_IP_ADDRESS=127.0.0.1
        "RABBITMQ_NODE_PORT=$(recall RABBITMQ_PORT)"
        "RABBITMQ_DIST_PORT=$(recall RABBITMQ_DIST_PORT)"
        "RABBITMQ_MNESIA_BASE=$home/data"
        "RABBITMQ_LOG_BASE=$home/log"
        "RABBITMQ_PID_FILE=$home/node.pid"
        "RABBITMQ_CONFIG_FILE=$home/rabbitmq"
        "RABBITMQ_CONF_ENV_FILE=$home/none"
        "RABBITMQ_ENABLED_PLUGINS_FILE=$home/enabled_plugins"
        # Two schedulers that sleep when idle: on a small machine a spinning broker takes the time of those it serves.
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none $loopback"
        "RABBITMQ_CTL_ERL_ARGS=+S 1:1 +sbwt none $loopback"
        # The server script then becomes the node instead of watching over it.
        RUNNING_UNDER_SYSTEMD=true
        "$(rabbitmq_scripts)/$1"
    )
}

# rabbitmq_definitions: the users. A portal declares and reads only queues of its own name, publishes requests, and
# binds its queues to the events that carry its own routing keys.
rabbitmq_definitions() {
    local portal users permissions topics
    users="{\"name\": \"fleet\", \"password\": \"$(recall RABBITMQ_PASSWORD)\", \"tags\": \"administrator\"}"
    permissions='{"user": "fleet", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}'
    topics=''
    for portal in "${portals[@]}"; do
        users+=",
    {\"name\": \"$portal\", \"password\": \"$(recall "RABBITMQ_PASSWORD_$portal")\", \"tags\": \"\"}"
        permissions+=",
    {\"user\": \"$portal\", \"vhost\": \"/\", \"configure\": \"^$portal\\\\.\",
     \"write\": \"^(mfa\\\\.requests|$portal\\\\..*)\$\", \"read\": \"^(mfa\\\\.events|$portal\\\\..*)\$\"}"
        topics+="${topics:+,
    }{\"user\": \"$portal\", \"vhost\": \"/\", \"exchange\": \"mfa.events\", \"write\": \"^\$\", \"read\": \"^$portal\\\\..*\"},
    {\"user\": \"$portal\", \"vhost\": \"/\", \"exchange\": \"mfa.requests\", \"write\": \".*\", \"read\": \"^\$\"}"
    done
    cat <<JSON
{
  "vhosts": [{"name": "/"}],
  "users": [
    $users
  ],
  "permissions": [
    $permissions
  ],
  "topic_permissions": [
    $topics
  ]
}
JSON
}

rabbitmq_configure() {
    local home=$state_dir/rabbitmq portal
    choose_secret RABBITMQ_PASSWORD
    for portal in "${portals[@]}"; do choose_secret "RABBITMQ_PASSWORD_$portal"; done
    choose_secret RABBITMQ_COOKIE
    choose_port EPMD_PORT
    choose_port RABBITMQ_DIST_PORT
    choose_port RABBITMQ_PORT
    mkdir -p "$home/home" "$home/log" "$home/data"
    chmod 700 "$home"
    recall RABBITMQ_COOKIE | write_private "$home/home/.erlang.cookie"
    chmod 400 "$home/home/.erlang.cookie"
    printf '[].\n' >"$home/enabled_plugins"
    rabbitmq_definitions | write_private "$home/definitions.json"
    cat >"$home/rabbitmq.conf" <<CONF
listeners.tcp.default = 127.0.0.1:$(recall RABBITMQ_PORT)
# Users and permissions, imported at every start; with them the node makes no guest account.
load_definitions = $home/definitions.json
# The seconds after which a frozen peer counts as gone; the default of 60 would stall publishers for as long.
net_ticktime = 10
# A body is held in memory whole before any limit of the fleet's own; the default is 128 MiB.
max_message_size = 262144
log.console = false
CONF
}

rabbitmq_start() {
    local rabbitmq_command
    if ! running_pid "$state_dir/epmd.pid" >/dev/null; then
        launch "$state_dir/epmd.pid" "$state_dir/logs/epmd.log" \
            epmd -address 127.0.0.1 -port "$(recall EPMD_PORT)"
    fi
    rabbitmq_command rabbitmq-server
    launch "$state_dir/rabbitmq.pid" "$state_dir/logs/rabbitmq.log" "${rabbitmq_command[@]}"
}

rabbitmqctl() {
    local rabbitmq_command
    rabbitmq_command rabbitmqctl
    "${rabbitmq_command[@]}" "$@"
}

# The node answers a protocol header only when its definitions are imported and its listener stands.
rabbitmq_answers() {
    local kind=''
    exec 8<>"/dev/tcp/127.0.0.1/$(recall RABBITMQ_PORT)" || return 1
    printf 'AMQP\0\0\11\1' >&8
    # A method frame starts with the byte 1; LC_ALL=C keeps the read to one byte.
    LC_ALL=C IFS= read -r -n 1 -t 2 kind <&8 || kind=''
    exec 8>&-
    [[ $kind == $'\1' ]]
}

rabbitmq_version() {
    local script
    script=$(readlink -f "$(rabbitmq_scripts)/rabbitmq-server")
    script=${script%/sbin/*}
    printf '%s' "${script##*rabbitmq_server-}"
}
