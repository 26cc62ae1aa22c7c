# shellcheck shell=bash
# The nodes of a private RabbitMQ as one cluster: whether they see each other, and bringing back those that do not.

# rabbitmq_has_majority: whether more than half of the nodes run.
rabbitmq_has_majority() {
    local node running=0
    for node in $(rabbitmq_nodes); do
        ! running_pid "$state_dir/$node.pid" >/dev/null || running=$((running + 1))
    done
    ((2 * running > $(rabbitmq_node_count)))
}

# rabbitmq_look NODE: prints how many nodes it sees, itself included, and from how many it knows that it was parted; sees
# none while it does not serve.
rabbitmq_look() {
    rabbitmqctl "$1" -q -t 10 eval 'case rabbit:is_running() of
        true -> io:format("~b ~b~n", [length(rabbit_mnesia:cluster_nodes(running)), length(rabbit_node_monitor:partitions())]);
        false -> io:format("0 0~n")
    end.' 2>/dev/null | sed -n '/^[0-9]/p' | grep . || printf '0 0\n'
}

# rabbitmq_find_parted NODE…: sets `parted` to the node that sees the fewest of those that were parted from others, to
# nothing without one; succeeds when each of these nodes sees all of them.
rabbitmq_find_parted() {
    local node sees parted_from least=99 united=yes
    parted=''
    for node in "$@"; do
        read -r sees parted_from < <(rabbitmq_look "$node")
        ((sees == $# && parted_from == 0)) || united=''
        if ((parted_from > 0 && sees < least)); then
            parted=$node
            least=$sees
        fi
    done
    [[ -n $united ]]
}

# rabbitmq_unite: returns when all running nodes are in one cluster. A node that stood still for longer than
# net_ticktime stays outside when it goes on: it takes the others' words as those of another cluster until its
# application starts anew.
rabbitmq_unite() {
    local node parted rabbitmq_command running=() deadline=$(($(milliseconds) + 120000))
    for node in $(rabbitmq_nodes); do
        ! running_pid "$state_dir/$node.pid" >/dev/null || running+=("$node")
    done
    until rabbitmq_find_parted "${running[@]}"; do
        (($(milliseconds) < deadline)) ||
            die 70 "${running[*]}: not in one cluster after two minutes; ops/stack rabbitmqctl -- cluster_status, logs are in $state_dir/rabbitmq*/log"
        [[ -n $parted ]] || continue
        say "$(server_title "$parted") is parted from the others: restarting its application"
        rabbitmq_command "$parted" rabbitmqctl
        timeout 60 "${rabbitmq_command[@]}" -q stop_app || true
        timeout 60 "${rabbitmq_command[@]}" -q start_app || true
    done
}
