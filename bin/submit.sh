#!/usr/bin/env bash
# Check a submission and upload it to Kaggle: bash bin/submit.sh [FILE] [--dry-run] [--message TEXT]
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
exec "$PYTHON" "$ROOT/src/submit.py" "$@"
