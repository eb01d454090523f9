#!/usr/bin/env bash
# Kill stages at random moments, start two at once, and so on, for --minutes N; prints a table with the seeds of failures.
source "$(dirname -- "${BASH_SOURCE[0]}")/env.sh"
exec "$PYTHON" "$ROOT/src/benchmarks/soak/__main__.py" "$@"
