#!/usr/bin/env bash
# Choose how the ensemble's maps are blended and cut, per class, on its out-of-fold maps.
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
exec "$PYTHON" "$ROOT/src/tune.py" "$@"
