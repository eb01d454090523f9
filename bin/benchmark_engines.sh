#!/usr/bin/env bash
# Build, compare, score and time every engine of every trained network:
# bash bin/benchmark_engines.sh [ENCODER [FOLD]] [--engines A,B]
source "$(dirname -- "${BASH_SOURCE[0]}")/env.sh"
exec "$PYTHON" "$ROOT/src/benchmarks/engines.py" "$@"
