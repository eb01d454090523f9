#!/usr/bin/env bash
# On a machine with an NVIDIA GPU, run the GPU tests, then build, compare, score and time every engine of every trained
# network: bash bin/gpu_check.sh [ENCODER [FOLD]] [--engines A,B]
bash "$(dirname -- "${BASH_SOURCE[0]}")/setup.sh" --dev
source "$(dirname -- "${BASH_SOURCE[0]}")/env.sh"
(cd "$ROOT" && "$PYTHON" -m pytest -q -m gpu tests/gpu)
exec "$PYTHON" "$ROOT/src/gpu_check.py" "$@"
