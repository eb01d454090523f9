#!/usr/bin/env bash
# Write input/train.csv from a folder of masks (--masks DIR), a PNG per strip.
source "$(dirname -- "${BASH_SOURCE[0]}")/env.sh"
exec "$PYTHON" "$ROOT/src/make_labels.py" "$@"
