#!/usr/bin/env bash
# Prints the path of a Python 3.11 whose libpython can be loaded by another program: Flink runs
# our operators inside its JVM (PEMJA), which needs the shared library. Debian has it in the
# package libpython3.11, pyenv with --enable-shared.
#
#   find-python.sh            for .venv-streams, whose Python Flink loads as a library
#   find-python.sh programs   for environments whose Python runs as a program
#
# As a program the distribution's Python comes first: it is compiled with profile-guided
# optimisation and needs 0.75 of the time of a Python that pyenv builds with its defaults. As a
# library both are equally fast, so Flink uses the first Python on the path.
# $PYTHON, if set, is the only candidate.
set -euo pipefail

check='
import os, sys, sysconfig
library = os.path.join(sysconfig.get_config_var("LIBDIR") or "", sysconfig.get_config_var("INSTSONAME") or "")
if sys.version_info[:2] != (3, 11):
    sys.exit("is Python %d.%d, not 3.11" % sys.version_info[:2])
if not sysconfig.get_config_var("Py_ENABLE_SHARED") or not os.path.isfile(library):
    sys.exit("has no shared libpython (Debian: package libpython3.11; pyenv: --enable-shared)")
print(os.path.realpath(sys.executable))
'

if [ -n "${PYTHON:-}" ]; then
    candidates=("$PYTHON")
elif [ "${1:-}" = programs ]; then
    candidates=(/usr/bin/python3.11 python3.11 python3)
else
    candidates=(python3.11 /usr/bin/python3.11 python3)
fi

reasons=()
for candidate in "${candidates[@]}"; do
    if answer=$("$candidate" -c "$check" 2>&1); then
        printf '%s\n' "$answer"
        exit 0
    fi
    reasons+=("  $candidate: ${answer##*$'\n'}")
done

{
    echo "No usable Python 3.11 found:"
    printf '%s\n' "${reasons[@]}"
    echo "Set PYTHON=/path/to/python3.11, or install the Debian packages python3.11 libpython3.11."
} >&2
exit 1
