# shellcheck shell=bash
# The three servers as one: which of them are ours to run, starting, stopping, addresses.

# In the order of starting: the slowest first.
servers=(rabbitmq postgresql redis)

server_title() {
    case $1 in
    rabbitmq) printf RabbitMQ ;;
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

server_port() {
    case $1 in
    rabbitmq) recall RABBITMQ_PORT ;;
    redis) recall REDIS_PORT ;;
    postgresql) recall POSTGRESQL_PORT ;;
    esac
}

server_place() { printf '127.0.0.1:%s, pid %s' "$(server_port "$1")" "$(running_pid "$state_dir/$1.pid")"; }

server_is_running() { running_pid "$state_dir/$1.pid" >/dev/null; }

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

running_servers() {
    local server
    for server in "${servers[@]}"; do
        ! server_is_running "$server" || printf '%s\n' "$server"
    done
}

# stop_servers SERVER…: all are told first, then awaited, each at most 20 seconds before it is killed.
stop_servers() {
    local server
    for server in "$@"; do
        # PostgreSQL's TERM would wait for its clients; INT disconnects them and shuts down cleanly.
        if [[ $server == postgresql ]]; then
            signal_process "$state_dir/$server.pid" INT
        else
            signal_process "$state_dir/$server.pid" TERM
        fi
    done
    for server in "$@"; do
        await_end "$state_dir/$server.pid" 20
        if [[ $server == rabbitmq ]]; then
            signal_process "$state_dir/epmd.pid" TERM
            await_end "$state_dir/epmd.pid" 5
        fi
    done
}

print_export() { printf 'export %s=%s\n' "$1" "${2@Q}"; }

# print_environment: export lines for the servers' addresses; fails when a private server does not run.
print_environment() {
    local server variable
    for server in "${servers[@]}"; do
        variable=$(server_variable "$server")
        if server_is_given "$server"; then
            print_export "$variable" "${!variable}"
            continue
        fi
        server_is_running "$server" || die 1 "stack '$stack_name' has no running $(server_title "$server"): ./ops/stack up --name $stack_name"
        print_export "$variable" "$("${server}_url")"
        case $server in
        rabbitmq) print_export PORTAL_AMQP_URLS "$(rabbitmq_portal_urls)" ;;
        redis) print_export PORTAL_REDIS_URLS "$(redis_portal_urls)" ;;
        postgresql) ;;
        esac
    done
}
