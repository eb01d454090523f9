#!/usr/bin/env bash
# Time the loading of training samples against a plain PyTorch loader.
source "$(dirname -- "${BASH_SOURCE[0]}")/env.sh"
exec "$PYTHON" "$ROOT/src/benchmarks/loader.py" "$@"
