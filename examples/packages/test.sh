#!/bin/sh
# Runs the example's tests: installs the pinned requirements once into a virtual environment in the user's cache, then
# calls pytest with the arguments given. Needs Python 3.11 with venv, and libgomp1.
#
#   PYTHON       the interpreter to use (default: python3)
#   EXAMPLE_VENV the virtual environment (default: below ${XDG_CACHE_HOME:-$HOME/.cache}/recommender-operator, with a
#                name made from the interpreter's version and the requirements, so that a change makes a new one)
set -eu
cd "$(dirname "$0")"
python=${PYTHON:-python3}

fail() {
    echo "test.sh: $*" >&2
    exit 1
}

command -v "$python" >/dev/null || fail "there is no '$python': install it (Debian: apt-get install python3 python3-venv)"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$("$python" --version) is too old: Python 3.11 or newer is needed; name another one with PYTHON=/path/to/python3"

key=$({ "$python" -c 'import sys; print(sys.version, sys.prefix)'; cat requirements.txt requirements-dev.txt; } | sha256sum | cut -c1-16)
venv=${EXAMPLE_VENV:-${XDG_CACHE_HOME:-$HOME/.cache}/recommender-operator/example-venv-$key}

# `complete` is written last: an installation that was interrupted is done again. The lock makes a second caller wait.
mkdir -p "$(dirname "$venv")"
exec 9>"$venv.lock"
flock 9
if [ ! -e "$venv/complete" ]; then
    rm -rf "$venv"
    if ! message=$("$python" -m venv "$venv" 2>&1); then
        rm -rf "$venv"
        fail "cannot make a virtual environment; on Debian: apt-get install python3-venv
$message"
    fi
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary :all: -r requirements-dev.txt >&2 ||
        fail "cannot install requirements-dev.txt into $venv"
    "$venv/bin/python" -c 'import implicit.cpu.als' || fail "implicit cannot be loaded; on Debian: apt-get install libgomp1"
    : >"$venv/complete"
fi
exec 9>&-

exec env PYTHONDONTWRITEBYTECODE=1 "$venv/bin/python" -m pytest "$@"
