#!/usr/bin/env bash
# Serve a page, on this machine alone, that shows the defects of a strip dropped on it.
source "$(dirname -- "${BASH_SOURCE[0]}")/env.sh"
exec "$PYTHON" "$ROOT/src/demo.py" "$@"
