#!/usr/bin/env bash
# Check what only the last stages read: whether the engine is at hand, and the test strips.
source "$(dirname -- "${BASH_SOURCE[0]}")/env.sh"
exec "$PYTHON" "$ROOT/src/check_run.py" "$@"
