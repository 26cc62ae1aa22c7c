# shellcheck shell=bash
# What a run needs from the distribution: says what is missing and installs it with apt-get. Installed services are
# not started, and services that exist already are not touched.

# packages_of NEED: the Debian and Ubuntu packages of a need; a need is a server or a tool.
packages_of() {
    case $1 in
    rabbitmq) printf 'rabbitmq-server' ;;
    redis) printf 'redis-server' ;;
    postgresql) printf 'postgresql' ;;
    compiler) printf 'gcc libc6-dev' ;;
    python) printf 'python3 python3-venv' ;;
    shellcheck) printf 'shellcheck' ;;
    esac
}

shellcheck_is_installed() { command -v shellcheck >/dev/null; }

compiler_is_installed() { command -v cc >/dev/null && printf '#include <stdlib.h>' | cc -E - >/dev/null 2>&1; }

# require_installed ask|install NEED…: returns when everything is there, after an installation if need be; otherwise
# says what to do and ends with 69.
require_installed() {
    local policy=$1 need missing=() packages=() command
    shift
    for need in "$@"; do
        if ! "${need}_is_installed"; then
            missing+=("$need")
            read -ra packages <<<"${packages[*]} $(packages_of "$need")"
        fi
    done
    ((${#missing[@]} > 0)) || return 0
    say "missing: ${missing[*]} (packages: ${packages[*]})"
    command="apt-get update && apt-get install -y --no-install-recommends ${packages[*]}"
    command -v apt-get >/dev/null || die 69 "no apt-get here: install ${missing[*]} in your system's way, then run this again"
    [[ $policy == install ]] || die 69 "run as root: $command"
    if ((EUID != 0)) && ! sudo -n true 2>/dev/null; then
        die 69 "this needs root. Run: sudo sh -c '$command'"
    fi
    install_packages "${packages[@]}"
    for need in "${missing[@]}"; do
        "${need}_is_installed" || die 69 "$need is still missing after its packages were installed"
    done
}

as_root() {
    if ((EUID == 0)); then
        "$@"
    else
        sudo -n "$@"
    fi
}

start_policy=/usr/sbin/policy-rc.d
start_policy_is_ours=''

# Debian's packages start their service on installation unless this file says no. An existing policy stays as it is.
forbid_service_starts() {
    [[ ! -e $start_policy ]] || return 0
    as_root tee "$start_policy" >/dev/null <<'POLICY'
#!/bin/sh
# Written by the MFA fleet's ops scripts while they install packages; they remove it afterwards.
case $1 in rabbitmq-server* | redis* | postgresql* | epmd*) exit 101 ;; esac
exit 0
POLICY
    start_policy_is_ours=yes
    as_root chmod 755 "$start_policy"
}

# Also called at the end of a script that was interrupted while installing.
permit_service_starts() {
    [[ -n $start_policy_is_ours ]] || return 0
    as_root rm -f "$start_policy"
    start_policy_is_ours=''
}

install_packages() {
    local log apt
    log=$(mktemp "${TMPDIR:-/tmp}/fleet-install.XXXXXX")
    apt=(as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=120 -o Dpkg::Use-Pty=0)
    heading "installing ${*}"
    forbid_service_starts
    if ! {
        phase 'package lists' "$log" "${apt[@]}" update &&
            phase 'download' "$log" "${apt[@]}" install --no-install-recommends --download-only "$@" &&
            phase 'unpack and configure' "$log" "${apt[@]}" install --no-install-recommends "$@"
    }; then
        permit_service_starts
        show_log_end "$log"
        die 69 "the installation failed; its output is in $log"
    fi
    rm -f "$log"
    if [[ -n $start_policy_is_ours ]]; then
        say '  Their system services were not started; at the next boot they are, unless you disable them (systemctl disable).'
    fi
    permit_service_starts
}

# require_cargo: cargo in PATH or at rustup's place, not older than the workspace allows.
require_cargo() {
    local wanted found
    if ! command -v cargo >/dev/null && [[ -x ${CARGO_HOME:-$HOME/.cargo}/bin/cargo ]]; then
        PATH=${CARGO_HOME:-$HOME/.cargo}/bin:$PATH
    fi
    wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$checkout/Cargo.toml")
    command -v cargo >/dev/null || die 69 "no cargo here: install Rust $wanted or newer from https://rustup.rs"
    found=$(cargo --version | cut -d' ' -f2)
    if [[ $(printf '%s\n' "$wanted" "$found" | sort -V | head -n 1) != "$wanted" ]]; then
        die 69 "cargo $found is older than the $wanted that this workspace needs: run 'rustup update', or install from https://rustup.rs"
    fi
}
