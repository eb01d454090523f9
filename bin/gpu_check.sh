#!/usr/bin/env bash
# On a machine with an NVIDIA GPU: the GPU's tests, then every engine of every trained network built, compared, scored
# and timed, as a table: bash bin/gpu_check.sh [ENCODER [FOLD]] [--engines A,B]
bash "$(dirname "${BASH_SOURCE[0]}")/setup.sh" --dev
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
(cd "$ROOT" && "$PYTHON" -m pytest -q -m gpu tests/test_gpu.py)
exec "$PYTHON" "$ROOT/src/gpu_check.py" "$@"
