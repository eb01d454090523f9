#!/usr/bin/env bash
# PyTorch -> ONNX -> onnx-simplifier -> engine, checked: bash bin/export.sh [ENCODER [FOLD]] [--engine NAME]
source "$(dirname -- "${BASH_SOURCE[0]}")/env.sh"
exec "$PYTHON" "$ROOT/src/export.py" "$@"
