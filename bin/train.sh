#!/usr/bin/env bash
# Train everything, one encoder, or one encoder on one fold: bash bin/train.sh [ENCODER [FOLD]]
source "$(dirname -- "${BASH_SOURCE[0]}")/env.sh"
exec "$PYTHON" "$ROOT/src/train.py" "$@"
