#!/usr/bin/env bash
# Set everything up and run the tests, beside them the linters and the type checker; arguments go to pytest.
bash "$(dirname -- "${BASH_SOURCE[0]}")/setup.sh" --dev
source "$(dirname -- "${BASH_SOURCE[0]}")/env.sh"
cd -- "$ROOT"

# A process group of its own ends as a whole, whether this script is stopped or the tests fail. Its output comes last.
report="$(mktemp)"
set -m
bash bin/lint.sh > "$report" 2>&1 &
lint=$!
set +m
trap 'kill -- "-$lint" 2>/dev/null || true; rm -f "$report"' EXIT

# One file of tests per core at a time, each on one thread and in up to 2.5 GB of memory; four at most.
cores="$(nproc)"
if [ "$cores" -gt 4 ]; then cores=4; fi
export OMP_NUM_THREADS=1
status=0
"$PYTHON" -m pytest -n "$cores" --dist loadfile --no-loadscope-reorder "$@" || status=$?

echo "== lint: bash bin/lint.sh"
if wait "$lint"; then
  cat "$report"
else
  cat "$report" >&2
  echo "error: bash bin/lint.sh failed (the reason stands above)" >&2
  if [ "$status" = 0 ]; then status=1; fi
fi
if [ "$status" != 0 ]; then exit "$status"; fi
