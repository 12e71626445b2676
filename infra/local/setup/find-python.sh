#!/usr/bin/env bash
# Prints the path of a Python 3.11 whose libpython can be loaded by another program: Flink runs
# our operators inside its JVM (PEMJA), which needs the shared library. Debian has it in the
# package libpython3.11, pyenv with --enable-shared.
#
# The distribution's Python comes first, because it is compiled with profile-guided optimisation. A
# loop of JSON, objects and sorting took 0.79 of the time of a Python that pyenv had built with its
# defaults, and 0.92 where both were loaded as a library (medians of 4 and of 3 runs).
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
else
    candidates=(/usr/bin/python3.11 python3.11 python3)
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
