#!/usr/bin/env bash
# Predict the test strips, or --images DIR, with the whole ensemble.
source "$(dirname -- "${BASH_SOURCE[0]}")/env.sh"
exec "$PYTHON" "$ROOT/src/predict.py" "$@"
