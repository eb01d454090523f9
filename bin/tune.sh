#!/usr/bin/env bash
# Choose threshold and minimum area per class on the out-of-fold maps of the ensemble.
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
exec "$PYTHON" "$ROOT/src/tune.py" "$@"
