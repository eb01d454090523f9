# Sourced by every script here: strict mode, and the repository's own Python, set up if need be.
# Folders that are named on a command line keep their meaning: nothing here changes the working folder.
set -euo pipefail
ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
PYTHON="$ROOT/.venv/bin/python"
bash "$ROOT/bin/setup.sh"
