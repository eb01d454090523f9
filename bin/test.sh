#!/usr/bin/env bash
# Set everything up and run the linters, the type checker and the tests; arguments go to pytest.
bash "$(dirname -- "${BASH_SOURCE[0]}")/setup.sh" --dev
source "$(dirname -- "${BASH_SOURCE[0]}")/env.sh"
cd -- "$ROOT"
bash bin/lint.sh
# One file of tests per core at a time, each on one thread and in up to 2.5 GB of memory; four at most.
cores="$(nproc)"
if [ "$cores" -gt 4 ]; then cores=4; fi
export OMP_NUM_THREADS=1
exec "$PYTHON" -m pytest -n "$cores" --dist loadfile --no-loadscope-reorder "$@"
