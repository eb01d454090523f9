#!/usr/bin/env bash
# Time exact tuning at the competition's size against plainer ways to compute the same.
source "$(dirname -- "${BASH_SOURCE[0]}")/env.sh"
exec "$PYTHON" "$ROOT/src/benchmarks/tuning.py" "$@"
