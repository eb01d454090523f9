#!/usr/bin/env bash
# Choose the recipe (--recipe sample|cpu-quick|cpu|kaggle) and split the training strips into folds, once.
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
exec "$PYTHON" "$ROOT/src/make_folds.py" "$@"
