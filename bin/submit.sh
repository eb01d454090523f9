#!/usr/bin/env bash
# Submit with Kaggle's client: bash bin/submit.sh --notebook [--dry-run], or a file: bash bin/submit.sh [FILE] [--dry-run]
source "$(dirname -- "${BASH_SOURCE[0]}")/env.sh"
exec "$PYTHON" "$ROOT/src/submit.py" "$@"
