#!/usr/bin/env bash
# Fetch the competition's files from Kaggle into input/ (or --input DIR).
source "$(dirname -- "${BASH_SOURCE[0]}")/env.sh"
exec "$PYTHON" "$ROOT/src/download_data.py" "$@"
