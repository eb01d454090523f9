#!/usr/bin/env bash
# Build Kaggle's data set and notebook in submissions/kaggle/.
source "$(dirname -- "${BASH_SOURCE[0]}")/env.sh"
exec "$PYTHON" "$ROOT/src/package_kaggle.py" "$@"
