#!/usr/bin/env bash
# Choose ensemble weights and post-processing values per class on the out-of-fold probability maps.
source "$(dirname -- "${BASH_SOURCE[0]}")/env.sh"
exec "$PYTHON" "$ROOT/src/tune.py" "$@"
