#!/usr/bin/env bash
# Time the loading of training samples against the usual way.
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
exec "$PYTHON" "$ROOT/src/benchmarks/loader.py" "$@"
