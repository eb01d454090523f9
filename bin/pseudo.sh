#!/usr/bin/env bash
# Label unlabelled strips with a trained ensemble where it is sure of them; other trainings take them by --pseudo-labels.
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
exec "$PYTHON" "$ROOT/src/pseudo.py" "$@"
