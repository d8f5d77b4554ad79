#!/bin/sh
# psm from a checkout. What it needs is set up on the first start, and again only when something changed.
#
#   ./run.sh test [PYTEST ARGUMENTS]   the tests, in parallel, with branch coverage
#   ./run.sh demo                      a small library to try psm on
#   ./run.sh scan ~/Music              everything else is psm's own
#
# PYTHON=/path/to/python3.12 chooses the Python; otherwise the first one that is 3.11 or newer.
set -eu

script=$0
while [ -h "$script" ]; do
    target=$(readlink -- "$script")
    case $target in
        /*) script=$target ;;
        *) script=${script%"${script##*/}"}$target ;;
    esac
done
case $script in
    */*) root=${script%/*} ;;
    *) root=. ;;
esac
# CDPATH would send cd to another folder of that name, and make it print.
root=$(CDPATH='' cd -- "${root:-/}" && pwd -P)
venv=$root/.venv

case ${1-} in
    test) stage="test" ;;
    *) stage="run" ;;
esac

# Must print what stamp() in tools/set_up.py does: comparing here saves the start of a Python.
wanted() {
    printf '%s\n' "$root"
    cat "$root/pyproject.toml" "$root/requirements.lock"
    if [ "$stage" = test ]; then
        cat "$root/requirements-dev.lock"
    fi
}

is_set_up() {
    [ -z "${PYTHON-}" ] && [ -x "$venv/bin/python" ] && [ -x "$venv/bin/psm" ] &&
        wanted | cmp -s - "$venv/.psm-$stage"
}

# The first Python that is new enough and can make a virtual environment, or else one that is only new enough:
# set_up.py then says what it lacks.
find_python() {
    new_enough=
    for candidate in ${PYTHON:+"$PYTHON"} python3 python3.14 python3.13 python3.12 python3.11 python; do
        status=0
        "$candidate" -c 'import sys
if sys.version_info < (3, 11): sys.exit(3)
import ensurepip, venv' >/dev/null 2>&1 || status=$?
        case $status in
            0)
                printf '%s\n' "$candidate"
                return
                ;;
            1) new_enough=${new_enough:-$candidate} ;;
        esac
        if [ -n "${PYTHON-}" ]; then
            break
        fi
    done
    printf '%s\n' "$new_enough"
}

if ! is_set_up; then
    python=$(find_python)
    if [ -z "$python" ]; then
        if [ -n "${PYTHON-}" ]; then
            echo "psm needs Python 3.11 or newer, and PYTHON=$PYTHON is not one." >&2
        else
            echo "psm needs Python 3.11 or newer, and there is none here: install it from your system's packages" \
                "or from https://www.python.org/downloads/, or set PYTHON to its path." >&2
        fi
        exit 1
    fi
    "$python" "$root/tools/set_up.py" "$stage"
fi

if [ "$stage" = test ]; then
    shift
    exec "$venv/bin/python" "$root/tools/run_tests.py" "$@"
fi
# For the commands that psm suggests to type next.
case $0 in
    */*) export PSM_COMMAND="$0" ;;
    *) export PSM_COMMAND="./$0" ;;
esac
exec "$venv/bin/psm" "$@"
