#!/usr/bin/env bash
# Choose the recipe (--recipe NAME or a TOML file) and split the training strips into folds, once.
source "$(dirname -- "${BASH_SOURCE[0]}")/env.sh"
exec "$PYTHON" "$ROOT/src/make_folds.py" "$@"
