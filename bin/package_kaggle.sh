#!/usr/bin/env bash
# Build the data set and the notebook that Kaggle takes, in submissions/kaggle/.
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
exec "$PYTHON" "$ROOT/src/package_kaggle.py" "$@"
