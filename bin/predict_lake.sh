#!/usr/bin/env bash
# Predict all images of a folder, of object storage or of a list, on this machine or on a Ray cluster.
source "$(dirname -- "${BASH_SOURCE[0]}")/env.sh"
exec "$PYTHON" "$ROOT/src/predict_lake.py" "$@"
