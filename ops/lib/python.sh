# shellcheck shell=bash
# A virtual environment for a check that is written in Python.

python_is_installed() { python3 -c 'import ensurepip, venv' >/dev/null 2>&1; }

# python_environment REQUIREMENTS FOLDER: a virtual environment with exactly these packages, made anew when they change.
# The packages come from PyPI, each with the hash that REQUIREMENTS gives.
python_environment() {
    local requirements=$1 folder=$2 wanted
    wanted=$(sha256sum "$requirements" && python3 --version)
    if [[ -r $folder/made-for && $(<"$folder/made-for") == "$wanted" ]]; then
        return 0
    fi
    rm -rf "$folder"
    python3 -m venv "$folder" || return 1
    if ! "$folder/bin/pip" install --disable-pip-version-check --no-deps --require-hashes --only-binary :all: \
        --retries 2 --timeout 30 -r "$requirements"; then
        printf '%s\n' '' "The packages of $requirements could not be installed from PyPI; pip says why above." \
            'This check needs them once. Without access to PyPI, give pip a mirror (PIP_INDEX_URL) or the wheels (PIP_FIND_LINKS).'
        return 1
    fi
    printf '%s' "$wanted" >"$folder/made-for"
}
