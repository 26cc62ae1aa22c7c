# shellcheck shell=bash
# Hurting this stack's own servers on purpose: kill, freeze, thaw, start again, wipe.

# harm COMMAND NODE…: all are looked at before the first is touched.
harm() {
    local command=$1 node
    shift
    (($# > 0)) || die 64 "name what to $command: $(rabbitmq_nodes | tr '\n' ' ')postgresql redis"
    [[ -d $state_dir ]] || die 1 "there is no stack '$stack_name': ./ops/stack up --name $stack_name"
    lock_state stack.lock
    for node in "$@"; do
        require_node "$node"
        require_fit "$command" "$node"
    done
    began=$(milliseconds)
    for node in "$@"; do
        "${command}_node" "$node"
    done
    # Others may hurt this stack while this script waits.
    flock -u 9
    [[ $command != start && $command != wipe ]] || await_started "$@"
}

# require_node NODE
require_node() {
    [[ " $(nodes_of "$(server_of "$1")" | tr '\n' ' ')" == *" $1 "* ]] ||
        die 64 "RabbitMQ of stack '$stack_name' has one node: only a stack that began with --nodes 3 has $1"
    [[ -d $state_dir/$1 || ($1 == postgresql && -n $(recall POSTGRESQL_DIRECTORY)) ]] ||
        die 1 "stack '$stack_name' has never started $(server_title "$1"): ./ops/stack up --name $stack_name"
}

# require_fit COMMAND NODE
require_fit() {
    case $1 in
    wipe) [[ $2 == redis ]] || die 64 "only redis can be wiped: what $(server_title "$2") holds exists nowhere else" ;;
    start) ! server_is_frozen "$2" || die 1 "$(server_title "$2") is frozen: ./ops/stack thaw --name $stack_name $2" ;;
    *) server_is_running "$2" || die 1 "$(server_title "$2") does not run in stack '$stack_name': ./ops/stack start --name $stack_name $2" ;;
    esac
}

kill_node() {
    local place
    place=$(server_place "$1")
    kill_process "$state_dir/$1.pid"
    say "$(server_title "$1") killed: $place"
}

freeze_node() {
    freeze_process "$state_dir/$1.pid"
    say "$(server_title "$1") frozen: $(server_place "$1")"
}

thaw_node() {
    local advice=''
    if [[ $1 == rabbitmq* ]] && (($(rabbitmq_node_count) > 1)); then
        # After net_ticktime the others have given it up.
        advice="; if it stood still for more than 10 s: ./ops/stack heal --name $stack_name"
    fi
    thaw_process "$state_dir/$1.pid"
    say "$(server_title "$1") thawed: $(server_place "$1")$advice"
}

# With the configuration that it had: the same port, or none.
start_node() {
    server_is_running "$1" || "$(server_of "$1")_start" "$1"
}

wipe_node() {
    kill_process "$state_dir/$1.pid"
    redis_forget
    start_node "$1"
}

# await_started NODE…
await_started() {
    local node
    for node in "$@"; do
        if [[ $node == rabbitmq* ]] && ! rabbitmq_has_majority; then
            say "$(server_title "$node") started on $(server_place "$node"), and waits for the other nodes"
            continue
        fi
        await_answers "$node"
        say "$(server_title "$node") answers after $(seconds_since "$began"): $(server_place "$node")"
    done
}

heal() {
    local node began
    [[ -d $state_dir ]] || die 1 "there is no stack '$stack_name': ./ops/stack up --name $stack_name"
    for node in $(rabbitmq_nodes); do
        ! server_is_frozen "$node" || die 1 "$(server_title "$node") is frozen: ./ops/stack thaw --name $stack_name $node"
    done
    rabbitmq_has_majority || die 1 "most of RabbitMQ's nodes do not run: ./ops/stack up --name $stack_name"
    began=$(milliseconds)
    rabbitmq_unite
    say "RabbitMQ is in one piece after $(seconds_since "$began")"
}
