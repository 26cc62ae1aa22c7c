# shellcheck shell=bash
# The three servers as one: which of them are ours to run, starting, stopping, addresses. RabbitMQ may be three nodes;
# a NODE is any process of its own here: `rabbitmq`, `rabbitmq.2`, `rabbitmq.3`, `postgresql`, `redis`.

# In the order of starting: the slowest first.
servers=(rabbitmq postgresql redis)

server_title() {
    case $1 in
    rabbitmq) printf RabbitMQ ;;
    rabbitmq.*) printf 'RabbitMQ.%s' "${1#rabbitmq.}" ;;
    redis) printf Redis ;;
    postgresql) printf PostgreSQL ;;
    esac
}

server_variable() {
    case $1 in
    rabbitmq) printf AMQP_URL ;;
    redis) printf REDIS_URL ;;
    postgresql) printf DATABASE_URL ;;
    esac
}

# nodes_of SERVER
nodes_of() {
    if [[ $1 == rabbitmq ]]; then
        rabbitmq_nodes
    else
        printf '%s\n' "$1"
    fi
}

# server_of NODE
server_of() { printf '%s' "${1%%.*}"; }

server_port() {
    case $1 in
    rabbitmq*) rabbitmq_port "$1" ;;
    redis) recall REDIS_PORT ;;
    postgresql) recall POSTGRESQL_PORT ;;
    esac
}

server_place() { printf '127.0.0.1:%s, pid %s' "$(server_port "$1")" "$(running_pid "$state_dir/$1.pid")"; }

server_is_running() { running_pid "$state_dir/$1.pid" >/dev/null; }

server_is_frozen() { process_is_frozen "$state_dir/$1.pid"; }

# server_is_given SERVER: whether the environment names somebody else's server. The address of this stack's own
# server, left in the environment by `ops/stack env`, is not somebody else's.
server_is_given() {
    local variable
    variable=$(server_variable "$1")
    [[ -n ${!variable:-} ]] || return 1
    [[ ! -r $state_dir/values || ${!variable} != "$("$1_url")" ]]
}

# private_servers: those that this stack has to run itself.
private_servers() {
    local server
    for server in "${servers[@]}"; do
        server_is_given "$server" || printf '%s\n' "$server"
    done
}

# running_servers: their nodes.
running_servers() {
    local server node
    for server in "${servers[@]}"; do
        for node in $(nodes_of "$server"); do
            ! server_is_running "$node" || printf '%s\n' "$node"
        done
    done
}

# stop_servers SERVER…: with all their nodes; a single node of RabbitMQ may be named as well.
stop_servers() {
    local server node nodes=()
    for server in "$@"; do
        for node in $(nodes_of "$server"); do nodes+=("$node"); done
    done
    stop_nodes "${nodes[@]}"
}

# stop_nodes NODE…: all are told first, then awaited, each at most 20 seconds before it is killed.
stop_nodes() {
    local node
    for node in "$@"; do
        # PostgreSQL's TERM would wait for its clients; INT disconnects them and shuts down cleanly.
        if [[ $node == postgresql ]]; then
            signal_process "$state_dir/$node.pid" INT
        else
            signal_process "$state_dir/$node.pid" TERM
        fi
        # One that is frozen hears it then.
        thaw_process "$state_dir/$node.pid"
    done
    for node in "$@"; do
        await_end "$state_dir/$node.pid" 20
    done
    rabbitmq_stop_epmd
}

# await_answers NODE: the script ends when it does not come to that.
await_answers() {
    local log=$state_dir/logs/$1.log
    if ! await_ready "$state_dir/$1.pid" 120 "$(server_of "$1")_answers" "$1"; then
        show_log_end "$log"
        die 70 "$(server_title "$1") did not start; its log is $log"
    fi
}

print_export() { printf 'export %s=%s\n' "$1" "${2@Q}"; }

# print_environment: export lines for the servers' addresses; fails when a private server does not run.
print_environment() {
    local server node variable
    for server in "${servers[@]}"; do
        variable=$(server_variable "$server")
        if server_is_given "$server"; then
            print_export "$variable" "${!variable}"
            continue
        fi
        for node in $(nodes_of "$server"); do
            server_is_running "$node" || die 1 "stack '$stack_name' has no running $(server_title "$node"): ./ops/stack up --name $stack_name"
        done
        print_export "$variable" "$("${server}_url")"
        case $server in
        rabbitmq) print_export PORTAL_AMQP_URLS "$(rabbitmq_portal_urls)" ;;
        redis) print_export PORTAL_REDIS_URLS "$(redis_portal_urls)" ;;
        postgresql) ;;
        esac
    done
}
