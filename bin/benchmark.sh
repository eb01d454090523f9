#!/usr/bin/env bash
# Time inference from JPEG files to submission.csv, engine by engine.
source "$(dirname -- "${BASH_SOURCE[0]}")/env.sh"
exec "$PYTHON" "$ROOT/src/benchmarks/inference.py" "$@"
