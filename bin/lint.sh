#!/usr/bin/env bash
# Check style (ruff), which package imports which (import-linter), types (mypy) and these scripts (shellcheck).
if [ $# -gt 0 ]; then echo "error: unknown option $1: bin/lint.sh takes none" >&2; exit 2; fi
bash "$(dirname -- "${BASH_SOURCE[0]}")/setup.sh" --dev
source "$(dirname -- "${BASH_SOURCE[0]}")/env.sh"
cd -- "$ROOT"
"$PYTHON" -m ruff check .
"$PYTHON" -m ruff format --check .
.venv/bin/lint-imports --no-logo
"$PYTHON" -m mypy
.venv/bin/shellcheck --external-sources --source-path=SCRIPTDIR bin/*.sh .ci/run
