# shellcheck shell=bash
# The demo's own processes, the fleet and its simulator: settings, start, stop.

services=(simulator fleet)

# The built programs; cargo's own setting decides where they are.
programs=${CARGO_TARGET_DIR:-$checkout/target}/debug

service_is_running() { running_pid "$state_dir/$1.pid" >/dev/null; }

service_place() {
    case $1 in
    simulator) printf '127.0.0.1:%s' "$(recall SIMULATOR_TELEMETRY_PORT)" ;;
    fleet) printf '127.0.0.1:%s' "$(recall FLEET_TELEMETRY_PORT)" ;;
    esac
}

running_services() {
    local service
    for service in "${services[@]}"; do
        ! service_is_running "$service" || printf '%s\n' "$service"
    done
}

stop_services() {
    local service
    # The fleet first: it finishes what it has begun while its carrier still answers.
    for service in fleet simulator; do
        [[ " $* " == *" $service "* ]] || continue
        signal_process "$state_dir/$service.pid" TERM
        await_end "$state_dir/$service.pid" 20
    done
}

# choose_keys: the fleet's keys, once: with others it could not read the numbers that it has stored. A key that an earlier
# version did not have is added.
choose_keys() {
    local known=''
    [[ ! -s $state_dir/keys.env ]] || known=$(<"$state_dir/keys.env")
    { printf '%s\n' "$known" && "$programs/fleetctl" keys; } | awk -F= 'NF > 1 && !seen[$1]++' |
        write_private "$state_dir/keys.env"
}

choose_service_values() {
    choose_keys
    choose_secret TWILIO_ACCOUNT
    choose_secret TWILIO_AUTH_TOKEN
    if ! service_is_running simulator; then
        choose_port SIMULATOR_PORT
        choose_port SIMULATOR_TELEMETRY_PORT
    fi
    if ! service_is_running fleet; then
        choose_port GATEWAY_PORT
        choose_port FLEET_TELEMETRY_PORT
    fi
}

# write_settings NAME: standard input as the file that NAME is started with; left alone when nothing changed, so that
# its age says whether the process knows it.
write_settings() {
    write_private "$state_dir/$1.next-env"
    if cmp -s "$state_dir/$1.next-env" "$state_dir/$1.env"; then
        rm "$state_dir/$1.next-env"
    else
        mv "$state_dir/$1.next-env" "$state_dir/$1.env"
    fi
}

# write_service_settings SPEED: what each program gets from the demo, as files that a shell can source: simulator.env,
# fleet.env, and `env` for fleetctl and for people.
write_service_settings() {
    local simulator gateway account token
    simulator=127.0.0.1:$(recall SIMULATOR_PORT)
    gateway=127.0.0.1:$(recall GATEWAY_PORT)
    account=AC$(recall TWILIO_ACCOUNT)
    token=$(recall TWILIO_AUTH_TOKEN)
    {
        print_export FLEET_SIMULATOR__LISTEN "$simulator"
        print_export FLEET_SIMULATOR__TELEMETRY_LISTEN "$(service_place simulator)"
        print_export FLEET_SIMULATOR__PEOPLE "$checkout/ops/demo-data/people.toml"
        print_export FLEET_SIMULATOR__LOG "$state_dir/calls.jsonl"
        print_export FLEET_SIMULATOR__SPEED "$1"
        print_export FLEET_SIMULATOR__ACCOUNT_SID "$account"
        print_export FLEET_SIMULATOR__AUTH_TOKEN "$token"
        print_export FLEET_SIMULATOR__APP_URL "http://$gateway"
    } | write_settings simulator
    {
        print_environment
        sed 's/^/export /' "$state_dir/keys.env"
    } | write_settings fleetctl
    {
        cat "$state_dir/fleetctl.env"
        print_export FLEET_TELEMETRY__LISTEN "$(service_place fleet)"
        print_export FLEET_GATEWAY__LISTEN "$gateway"
        # Shorter than life, so that nobody has to watch somebody press nothing.
        print_export FLEET_GATEWAY__GATHER_TIMEOUT 4s
        print_export FLEET_ENGINE__PUBLIC_URL "http://$gateway"
        print_export FLEET_TWILIO__BASE_URL "http://$simulator"
        print_export FLEET_TWILIO__ACCOUNT_SID "$account"
        print_export FLEET_TWILIO__AUTH_TOKEN "$token"
        print_export FLEET_TWILIO__CALLS_PER_SECOND 10000
        print_export FLEET_TWILIO__CALLER_IDS '["+19195550100"]'
        print_export FLEET_FCM__BASE_URL "http://$simulator"
        print_export FLEET_FCM__CREDENTIALS "$state_dir/fcm-credentials.json"
        # As over TLS, where HTTP/2 is negotiated.
        print_export FLEET_FCM__HTTP2 prior_knowledge
    } | write_settings fleet
    ln -sfn fleetctl.env "$state_dir/env"
}

# with_settings NAME COMMAND…: runs the command with the settings of NAME only: each program refuses the settings of
# the others as unknown. Changes the calling shell's environment, hence for subshells.
with_settings() {
    local variable settings=$state_dir/$1.env
    shift
    for variable in "${!FLEET_@}"; do
        unset "$variable"
    done
    # shellcheck source=/dev/null
    source "$settings"
    "$@"
}

# service_is_current SERVICE: runs, and was started after its program was built and its settings were written.
service_is_current() {
    service_is_running "$1" &&
        [[ ! $programs/$1 -nt $state_dir/$1.pid && ! $state_dir/$1.env -nt $state_dir/$1.pid ]]
}

# start_service SERVICE: starts it, or replaces one that runs with an older program or other settings.
start_service() {
    local began log=$state_dir/logs/$1.log
    if service_is_current "$1"; then
        say "  ${green}✓${plain} $1 is running, pid $(running_pid "$state_dir/$1.pid")"
        return
    fi
    stop_services "$1"
    began=$(milliseconds)
    (with_settings "$1" launch "$state_dir/$1.pid" "$log" "$programs/$1")
    if ! await_ready "$state_dir/$1.pid" 30 http_is_ok "$(service_place "$1")" /readyz; then
        show_log_end "$log" 30
        die 70 "$1 did not become ready; its log is $log"
    fi
    say "  ${green}✓${plain} $1, pid $(running_pid "$state_dir/$1.pid"), ready after $(seconds_since "$began")"
}
