# Sourced by packaging/demo and packaging/test: makes or repairs .venv at the project's root.
# After it, $venv is a virtual environment that holds exactly what the pins name.
#
# A stamp file is written last, so a set-up that was interrupted at any moment is told from a
# finished one and made anew. Nothing outside the project's folder is written.

project=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
venv=$project/.venv
stamp=$venv/.workbench-ready
log=$project/.venv.log

stop_with() { # sentence, what to do next
    printf '\n%s\n%s\n' "$1" "$2" >&2
    exit 1
}

find_python() {
    local name
    for name in "${WORKBENCH_PYTHON:-}" python3 python3.13 python3.12 python3.11 python; do
        [ -n "$name" ] || continue
        if command -v "$name" >/dev/null 2>&1 &&
            "$name" -c 'import sys; sys.exit(not ((3, 11) <= sys.version_info[:2] < (3, 15)))' 2>/dev/null; then
            command -v "$name"
            return
        fi
    done
    stop_with "No Python from 3.11 on was found." \
        "Install one (on Debian or Ubuntu: python3 and python3-venv) or name it in WORKBENCH_PYTHON."
}

check_disk() {
    local needed_mib=3000 free_mib
    # On a machine with an NVIDIA GPU, PyTorch brings the CUDA libraries along.
    if [ -e /dev/nvidiactl ]; then needed_mib=12000; fi
    free_mib=$(df -Pk "$project" | awk 'NR==2 {print int($4/1024)}')
    if [ "$free_mib" -lt "$needed_mib" ]; then
        stop_with "Not enough disk: $free_mib MiB are free at $project and the set-up needs $needed_mib MiB." \
            "Free some space, or clone the project to a larger disk, and run the command again."
    fi
}

explain_pip_failure() {
    if grep -qiE 'no space left on device|disk quota exceeded' "$log"; then
        stop_with "The disk filled up while packages were being installed." \
            "Free some space and run the command again: the half-made .venv is made anew. (Log: $log)"
    fi
    if grep -qiE 'NewConnectionError|NameResolutionError|Temporary failure in name resolution|Connection (refused|timed out|reset)|Network is unreachable|ProxyError|ReadTimeout|ConnectTimeout|SSLError|No matching distribution found|Could not find a version' "$log"; then
        stop_with "The packages could not be fetched: no package index was reachable, or it lacks a pinned version." \
            "Check network and proxy; or point pip at a folder of wheels: PIP_NO_INDEX=1 PIP_FIND_LINKS=/path/to/wheels. (Log: $log)"
    fi
    tail -n 15 "$log" >&2
    stop_with "pip failed; its last lines stand above." "The whole log is in $log."
}

pip_install() { # how many packages, arguments for pip
    local total=$1 count=0 line
    shift
    set -o pipefail
    if ! PYTHONUNBUFFERED=1 "$venv/bin/python" -m pip install --no-input --disable-pip-version-check \
        --retries 2 --progress-bar off "$@" 2>&1 | tee -a "$log" | while IFS= read -r line; do
        case $line in
            Collecting*)
                count=$((count + 1))
                line=${line#Collecting }
                printf '  %3d of %d  %s\n' "$count" "$total" "${line%% *}"
                ;;
            'Installing collected'*) printf '  unpacking (a minute or two)\n' ;;
            *'WARNING: Retrying'*) printf '  the package index does not answer; trying again\n' ;;
        esac
    done; then
        explain_pip_failure
    fi
}

pin_files() { # demo | test
    printf '%s\n' "$project/packaging/pins.txt"
    if [ "$1" = test ]; then printf '%s\n' "$project/packaging/pins-test.txt"; fi
}

set_up() { # demo | test
    local kind=$1 python wanted have='' total
    local -a pins
    exec 9<"$project/pyproject.toml"
    if ! flock -n 9; then
        echo "Another set-up is at work in this folder; waiting for it."
        flock 9
    fi
    mapfile -t pins < <(pin_files "$kind")
    wanted=$(cat "$project/packaging/pins.txt" "$project/packaging/pins-test.txt" "$project/pyproject.toml" | cksum)
    if [ -f "$stamp" ]; then have=$(cat "$stamp"); fi
    if grep -qxF "$kind $wanted" <<<"$have"; then
        exec 9<&-
        return
    fi
    python=$(find_python) || exit 1
    check_disk
    : >"$log" || stop_with "The folder $project cannot be written." "Check its owner and permissions."
    if [ -z "$have" ]; then
        if [ -e "$venv" ]; then echo "An unfinished .venv was found (an interrupted set-up); making it anew."; fi
        echo "Setting up: a virtual environment in .venv with $("$python" --version)"
        rm -rf "$venv"
        "$python" -m venv "$venv" >>"$log" 2>&1 || {
            tail -n 5 "$log" >&2
            stop_with "Python could not make a virtual environment." \
                "On Debian or Ubuntu install python3-venv, then run the command again."
        }
    fi
    local -a requirements=()
    local file
    for file in "${pins[@]}"; do requirements+=(-r "$file"); done
    total=$(cat "${pins[@]}" | grep -c '==')
    echo "Setting up: $total pinned packages (PyTorch is the largest)"
    pip_install "$total" "${requirements[@]}"
    pip_install 1 --no-deps --no-build-isolation --editable "$project"
    # A venv that can run the tests can run the demo; one made for the demo grows when tests need it.
    printf '%s\n' "demo $wanted" >"$stamp.part"
    if [ "$kind" = test ]; then printf '%s\n' "test $wanted" >>"$stamp.part"; fi
    mv "$stamp.part" "$stamp"
    rm -f "$log"
    exec 9<&-
    echo "Setting up: done in $SECONDS s"
}
