#!/usr/bin/env bash
# On a machine with an NVIDIA GPU, run everything that only a GPU can show: bash bin/gpu_check.sh [--quick | --stand-in]
# PYTHON=/path/to/python3 runs it with that Python and installs nothing.
if [ -n "${PYTHON:-}" ]; then exec "$PYTHON" "$(dirname -- "${BASH_SOURCE[0]}")/../src/gpu_check.py" "$@"; fi
bash "$(dirname -- "${BASH_SOURCE[0]}")/setup.sh" --dev
source "$(dirname -- "${BASH_SOURCE[0]}")/env.sh"
exec "$PYTHON" "$ROOT/src/gpu_check.py" "$@"
