#!/usr/bin/env bash
# Serve a page on this machine alone where one drops a strip and sees its defects.
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
exec "$PYTHON" "$ROOT/src/demo.py" "$@"
