#!/usr/bin/env bash
# Write submissions/report.html: the scores, errors, curves and strips of a run on one page.
source "$(dirname -- "${BASH_SOURCE[0]}")/env.sh"
exec "$PYTHON" "$ROOT/src/report.py" "$@"
