# shellcheck shell=bash
# A private RabbitMQ, one node or a cluster of three, with its own epmd, cookie, data and users, on loopback only. The
# first node is `rabbitmq`, the others are `rabbitmq.2` and `rabbitmq.3`; what all share lies in the first one's folder.

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

# Chosen once: data of one node does not become data of three.
rabbitmq_node_count() { recall RABBITMQ_NODES || printf 1; }

rabbitmq_nodes() {
    local number
    printf 'rabbitmq\n'
    for ((number = 2; number <= $(rabbitmq_node_count); number++)); do printf 'rabbitmq.%d\n' "$number"; done
}

# rabbitmq_choose_node_count NUMBER: nothing given leaves it as it is.
rabbitmq_choose_node_count() {
    [[ -n $1 ]] || return 0
    [[ $1 == [13] ]] || die 64 "--nodes is 1 or 3: two nodes have no majority without each other"
    if [[ -d $state_dir/rabbitmq && $1 != "$(rabbitmq_node_count)" ]]; then
        die 64 "stack '$stack_name' has data of $(rabbitmq_node_count) RabbitMQ node(s), which --nodes $1 cannot change: take another --name"
    fi
    store RABBITMQ_NODES "$1"
}

# rabbitmq_value KEY NODE: the key of a node's own value; the first node's has no number.
rabbitmq_value() {
    local number=${2#rabbitmq}
    printf 'RABBITMQ_%s%s' "$1" "${number/./_}"
}

rabbitmq_port() { recall "$(rabbitmq_value PORT "$1")"; }

# The name of a node in the cluster.
rabbitmq_node_name() {
    local number=${1#rabbitmq}
    printf 'fleet-%s%s@localhost' "$stack_name" "${number/./-}"
}

# rabbitmq_urls USER PASSWORD [PREFIX]: the addresses of all nodes, separated by commas, each after the prefix.
rabbitmq_urls() {
    local node urls=''
    for node in $(rabbitmq_nodes); do
        urls+="${urls:+,}${3:-}amqp://$1:$2@127.0.0.1:$(rabbitmq_port "$node")/%2f"
    done
    printf '%s' "$urls"
}

rabbitmq_url() { rabbitmq_urls fleet "$(recall RABBITMQ_PASSWORD)"; }

rabbitmq_portal_urls() {
    local portal urls=''
    for portal in "${portals[@]}"; do
        urls+="${urls:+,}$(rabbitmq_urls "$portal" "$(recall "RABBITMQ_PASSWORD_$portal")" "$portal=")"
    done
    printf '%s' "$urls"
}

# rabbitmq_command NODE SCRIPT: sets rabbitmq_command to the words that run one of RabbitMQ's scripts on this node,
# whatever the caller's environment says about other nodes. Every word replaces the one before, so a pid stays the same.
rabbitmq_command() {
    local home=$state_dir/$1 loopback='-kernel inet_dist_use_interface {127,0,0,1}'
    rabbitmq_command=(
        env -i "PATH=$PATH" LANG=C.UTF-8 "HOME=$state_dir/rabbitmq/home"
        "ERL_EPMD_PORT=$(recall EPMD_PORT)"
        ERL_EPMD_ADDRESS=127.0.0.1
        "RABBITMQ_NODENAME=$(rabbitmq_node_name "$1")"
        RABBITMQ_NODE_IP_ADDRESS=127.0.0.1
        "RABBITMQ_NODE_PORT=$(rabbitmq_port "$1")"
        "RABBITMQ_DIST_PORT=$(recall "$(rabbitmq_value DIST_PORT "$1")")"
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
        "$(rabbitmq_scripts)/$2"
    )
}

# rabbitmq_definitions: the users. A portal publishes requests, reads the queue of its events where an operator has declared
# one, and declares nothing itself: a quorum queue of its own that dead-letters at least once would let it crash, by one malformed
# x-death header, the dead-letter workers of the whole node.
rabbitmq_definitions() {
    local portal users permissions topics
    users="{\"name\": \"fleet\", \"password\": \"$(recall RABBITMQ_PASSWORD)\", \"tags\": \"administrator\"}"
    permissions='{"user": "fleet", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}'
    topics=''
    for portal in "${portals[@]}"; do
        users+=",
    {\"name\": \"$portal\", \"password\": \"$(recall "RABBITMQ_PASSWORD_$portal")\", \"tags\": \"\"}"
        permissions+=",
    {\"user\": \"$portal\", \"vhost\": \"/\", \"configure\": \"^\$\",
     \"write\": \"^mfa\\\\.requests\$\", \"read\": \"^$portal\\\\.events\$\"}"
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

# rabbitmq_configure NODE: only for a node that does not run.
rabbitmq_configure() {
    local home=$state_dir/$1 common=$state_dir/rabbitmq portal
    choose_secret RABBITMQ_PASSWORD
    for portal in "${portals[@]}"; do choose_secret "RABBITMQ_PASSWORD_$portal"; done
    choose_secret RABBITMQ_COOKIE
    # It outlives a killed node.
    running_pid "$state_dir/epmd.pid" >/dev/null || choose_port EPMD_PORT
    choose_port "$(rabbitmq_value DIST_PORT "$1")"
    choose_port "$(rabbitmq_value PORT "$1")"
    mkdir -p "$common/home" "$home/log" "$home/data"
    chmod 700 "$common" "$home"
    recall RABBITMQ_COOKIE | write_private "$common/home/.erlang.cookie"
    chmod 400 "$common/home/.erlang.cookie"
    printf '[].\n' >"$home/enabled_plugins"
    rabbitmq_definitions | write_private "$common/definitions.json"
    {
        cat <<CONF
listeners.tcp.default = 127.0.0.1:$(rabbitmq_port "$1")
# Users and permissions, imported at every start; with them the node makes no guest account.
load_definitions = $common/definitions.json
# The seconds after which a frozen peer counts as gone; the default of 60 would stall publishers for as long.
net_ticktime = 10
# A body is held in memory whole before any limit of the fleet's own; the default is 128 MiB.
max_message_size = 262144
# Bounds a message's headers. In the default of 128 KiB, lists can stand in each other so deeply that the clients' parser
# overflows its stack, which ends the process; 8192 is the least that they take.
frame_max = 8192
log.console = false
CONF
        (($(rabbitmq_node_count) == 1)) || rabbitmq_cluster_settings
    } >"$home/rabbitmq.conf"
}

rabbitmq_cluster_settings() {
    local node number=0
    cat <<'CONF'
# Nodes without a majority stop serving until they see one again, so that there are never two clusters.
cluster_partition_handling = pause_minority
cluster_formation.peer_discovery_backend = classic_config
CONF
    for node in $(rabbitmq_nodes); do
        printf 'cluster_formation.classic_config.nodes.%d = %s\n' "$((++number))" "$(rabbitmq_node_name "$node")"
    done
}

rabbitmq_start() {
    local rabbitmq_command
    if ! running_pid "$state_dir/epmd.pid" >/dev/null; then
        launch "$state_dir/epmd.pid" "$state_dir/logs/epmd.log" \
            epmd -address 127.0.0.1 -port "$(recall EPMD_PORT)"
    fi
    rabbitmq_command "$1" rabbitmq-server
    launch "$state_dir/$1.pid" "$state_dir/logs/$1.log" "${rabbitmq_command[@]}"
}

# rabbitmq_node NUMBER: the node of this number; the first without one.
rabbitmq_node() {
    case ${1:-1} in
    1) printf rabbitmq ;;
    *) rabbitmq_nodes | grep -xF "rabbitmq.$1" || die 64 "stack '$stack_name' has $(rabbitmq_node_count) RabbitMQ node(s), no node $1" ;;
    esac
}

# rabbitmq_stop_epmd: when no node needs it any more.
rabbitmq_stop_epmd() {
    local node
    for node in $(rabbitmq_nodes); do
        ! running_pid "$state_dir/$node.pid" >/dev/null || return 0
    done
    signal_process "$state_dir/epmd.pid" TERM
    await_end "$state_dir/epmd.pid" 5
}

# rabbitmqctl NODE ARGUMENT…
rabbitmqctl() {
    local rabbitmq_command
    rabbitmq_command "$1" rabbitmqctl
    shift
    "${rabbitmq_command[@]}" "$@"
}

# The node answers a protocol header only when its definitions are imported and its listener stands.
rabbitmq_answers() {
    local kind=''
    exec 8<>"/dev/tcp/127.0.0.1/$(rabbitmq_port "$1")" || return 1
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
