#!/usr/bin/env bash
# Train everything, one encoder, or one encoder on one fold: bash bin/train.sh [ENCODER [FOLD]]
source "$(dirname -- "${BASH_SOURCE[0]}")/env.sh"
# Each step frees hundreds of blocks of megabytes. With glibc's defaults they go back to the system, and come again page
# by page for the next step: with two trainings on two cores a median step of cpu-quick took 0.36 s instead of 0.26 s.
export MALLOC_MMAP_THRESHOLD_="${MALLOC_MMAP_THRESHOLD_:-1073741824}"
export MALLOC_TRIM_THRESHOLD_="${MALLOC_TRIM_THRESHOLD_:-4294967296}"
exec "$PYTHON" "$ROOT/src/train.py" "$@"
