#!/usr/bin/env bash
# Time exact tuning at the competition's size, against Higra, scikit-image and OpenCV.
source "$(dirname -- "${BASH_SOURCE[0]}")/env.sh"
exec "$PYTHON" "$ROOT/src/benchmarks/tuning.py" "$@"
