#!/usr/bin/env bash
# Label unlabelled strips where a trained ensemble is confident; train.sh takes the labels by --pseudo-labels.
source "$(dirname -- "${BASH_SOURCE[0]}")/env.sh"
exec "$PYTHON" "$ROOT/src/pseudo.py" "$@"
