#!/usr/bin/env bash
# Write synthetic steel into input/ (or --input DIR) where it holds no data.
source "$(dirname -- "${BASH_SOURCE[0]}")/env.sh"
exec "$PYTHON" "$ROOT/src/make_input.py" "$@"
