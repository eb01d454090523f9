#!/usr/bin/env bash
# Run the ensemble on any strips, a file or a folder: write overlays and a table of areas per class.
source "$(dirname -- "${BASH_SOURCE[0]}")/env.sh"
exec "$PYTHON" "$ROOT/src/inspect_strips.py" "$@"
