#!/usr/bin/env bash
# Check style and traps (ruff), which package imports which (import-linter) and types (mypy); pyproject.toml has the rules.
bash "$(dirname -- "${BASH_SOURCE[0]}")/setup.sh" --dev
source "$(dirname -- "${BASH_SOURCE[0]}")/env.sh"
cd -- "$ROOT"
"$PYTHON" -m ruff check .
"$PYTHON" -m ruff format --check .
.venv/bin/lint-imports --no-logo
"$PYTHON" -m mypy
